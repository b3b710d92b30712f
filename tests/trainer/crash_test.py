# SPDX-License-Identifier: MIT
"""A kill at any system call of a save, and at any time, loses no checkpoint that was acknowledged and shows no half one.

MMADA_FULL=1: every call, and 200 random times."""
import random
import signal
import subprocess
import time

import pytest

from fault_injection import CALLS, FULL, acknowledged, calls_of_saves, command, fresh, nothing_is_lost, sample, steps_visible, traced


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A run that has saved step 1."""
    run = tmp_path_factory.mktemp("crash") / "before"
    done = subprocess.run(command(run, 1), capture_output=True, text=True)
    assert done.returncode == 0 and acknowledged(done.stdout) == [1] and steps_visible(run) == [1]
    return run


def goes_on(run):
    done = subprocess.run(command(run, 3), capture_output=True, text=True)
    assert done.returncode == 0, done
    assert steps_visible(run)[-1] == 3 and not list(run.glob(".tmp*")), list(run.iterdir())


def test_a_kill_at_a_system_call_of_a_save_loses_nothing(before, tmp_path):
    calls = calls_of_saves(fresh(before, tmp_path / "counted"), tmp_path / "log")
    killed, left = 0, set()
    for call in sample(calls, 18):
        run = fresh(before, tmp_path / "run")
        done = traced(command(run, 3), tmp_path / "log", f"{call.name}:signal=KILL:when={call.number}")
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (call, done)
        killed += 1
        left.add(nothing_is_lost(run, done))
        if FULL or killed % 6 == 0:
            goes_on(run)
    assert left == {1, 2, 3} or not FULL
    assert len(left) >= 2  # kills before and after a commit
    print(f"kills at system calls: {killed} of {len(calls)} calls of two saves ({len({c.name for c in calls})} names), 0 lost, 0 half")


def test_a_kill_at_a_random_time_loses_nothing(before, tmp_path):
    moments, saves = random.Random(11), 0
    for _ in range(200 if FULL else 6):
        run = fresh(before, tmp_path / "run")
        process = subprocess.Popen(command(run, 10000), stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "loaded 1\n"
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        output, _ = process.communicate()
        done = subprocess.CompletedProcess(process.args, process.returncode, output, "")
        nothing_is_lost(run, done)
        saves += len(acknowledged(output))
    assert saves > 0
    print(f"kills at random times: {200 if FULL else 6}, among {saves} saves, 0 lost, 0 half")
