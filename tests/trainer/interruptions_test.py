# SPDX-License-Identifier: MIT
"""Runs that are killed and runs that are asked to stop, at random moments: bit for bit the run that nobody disturbed.

MMADA_FULL=1: 20 kills in 200 steps with one and with two processes, 100 moments of stopping, 50 failures in 1,000 steps."""
import glob
import json
import os
import random
import re
import shutil
import signal
import time

import pytest

from training_run import STEPS, config, losses, start, step_seconds, straight, train, wait_for_step, weights_hash

FULL = os.environ.get("MMADA_FULL") == "1"
HEAVY = ["dataset.flows.0.rows=24", "training.gradient_accumulation_steps=8", "experiment.log_every=1"]  # steps that take a second


LENGTH = 200 if FULL else STEPS
LONG = [f"training.max_train_steps={LENGTH}", "experiment.save_every=2", "experiment.checkpoints_total_limit=3"]


@pytest.fixture(scope="module")
def undisturbed(config):
    """By number of processes: a run to its end."""
    for processes in (1, 2):
        train(config, f"experiment.output_dir={config.parent}/whole-{processes}", "--nproc", processes, *LONG)
    return {processes: f"{config.parent}/whole-{processes}" for processes in (1, 2)}


def checkpoints(run):
    return sorted(int(name.rsplit("-", 1)[1]) for name in glob.glob(f"{run}/checkpoint-*"))


def descendants(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_at_random_steps_is_bit_for_bit_the_straight_one(config, undisturbed, tmp_path, processes):
    moments, equal, kills, last = random.Random(15 + processes), 0, 0, set()
    for trial in range(20 if FULL else 1):
        run = tmp_path / str(trial)
        step = moments.randrange(1, LENGTH)
        flags = ["--nproc", processes, *LONG, f"experiment.async_save={str(trial % 2 == 1).lower()}"]
        process = start(config, run, *flags)
        wait_for_step(process, run, step)
        time.sleep(moments.uniform(0, 0.1))
        victims = descendants(process.pid) if processes > 1 else []
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        process.kill()
        process.communicate(timeout=60)
        kills += process.returncode == -signal.SIGKILL
        last.add(max(checkpoints(run), default=0))
        train(config, f"experiment.output_dir={run}", *flags)
        equal += losses(run) == losses(undisturbed[processes]) and weights_hash(run, LENGTH) == weights_hash(undisturbed[processes], LENGTH)
        shutil.rmtree(run)
    assert equal == (20 if FULL else 1) and (kills > 15 or not FULL)
    print(f"{processes} processes: {equal} of {equal} killed runs bit-equal, {kills} killed before their end, resumed from steps {sorted(last)}")


def test_a_run_asked_to_stop_at_a_random_moment_saves_exits_0_and_goes_on(config, tmp_path):
    moments, slowest, stopped_at = random.Random(19), 0.0, []
    for trial in range(100 if FULL else 4):
        run = tmp_path / str(trial)
        wanted = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1][trial % 3]
        # a save after every step: about every second moment falls into one
        process = start(config, run, "experiment.save_every=1", "--nproc", 2 if trial % 4 == 3 else 1, f"experiment.async_save={str(trial % 2 == 1).lower()}")
        wait_for_step(process, run, 1)
        time.sleep(moments.uniform(0, 0.5))
        asked = time.monotonic()
        process.send_signal(wanted)
        _, log = process.communicate(timeout=60)
        slowest = max(slowest, time.monotonic() - asked)
        assert process.returncode == 0, (wanted, log)
        steps = checkpoints(run)
        assert max(steps) == max(losses(run)), (steps, log)  # the step it had reached, none lost
        stopped_at.append(max(steps))
        if trial % 4 != 3 and (trial < 2 or trial % 10 == 0):
            train(config, f"experiment.output_dir={run}", "experiment.save_every=1")
            assert losses(run) == losses(straight(config)) and weights_hash(run) == weights_hash(straight(config))
    print(f"{len(stopped_at)} moments, {sum(step < STEPS for step in stopped_at)} before the last step, slowest exit {slowest:.2f} s")
    assert not FULL or slowest < 10


def test_a_storm_of_failures_ends_with_the_weights_of_the_undisturbed_run(config, tmp_path):
    (steps, failures), moments = (1000, 50) if FULL else (60, 2), random.Random(24)
    long = ["--nproc", 2, f"training.max_train_steps={steps}", "experiment.save_every=5", "experiment.checkpoints_total_limit=2",
            "experiment.evaluate_every=0"]
    train(config, f"experiment.output_dir={tmp_path}/quiet", *long)
    process = start(config, tmp_path / "storm", "--max-restarts", failures, *long)
    begin = time.monotonic()
    for failure in range(1, failures + 1):
        wanted = failure * (steps - 20) // failures  # far enough apart that the run gets on in between
        while max(checkpoints(tmp_path / "storm"), default=0) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        ranks = descendants(process.pid)
        os.kill(moments.choice(ranks), signal.SIGKILL)
    _, log = process.communicate(timeout=600)
    wall = time.monotonic() - begin
    assert process.returncode == 0 and log.count("starting again") == failures, log
    assert losses(tmp_path / "storm") == losses(tmp_path / "quiet")
    assert weights_hash(tmp_path / "storm", steps) == weights_hash(tmp_path / "quiet", steps)
    productive = float(re.search(r"goodput \S+ %: (\S+) s of", log).group(1))
    assert productive == pytest.approx(step_seconds(tmp_path / "storm"), rel=0.01)
    print(f"{failures} failures in {steps} steps: weights bit-equal, {wall:.0f} s; {re.search('goodput .*', log).group()}")


def wait_until(process, condition):
    """Of a process's status."""
    deadline = time.monotonic() + 10
    while not condition(status := open(f"/proc/{process}/status").read()):
        assert time.monotonic() < deadline, status
        time.sleep(0.002)


def is_stopped(status):
    return re.search(r"^State:\s*T", status, re.M)


def has_pending(signals):
    wanted = sum(1 << (number - 1) for number in signals)
    return lambda status: int(re.search(r"^ShdPnd:\s*(\w+)", status, re.M).group(1), 16) & wanted == wanted


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_request_ends_the_run_at_once_with_130(config, tmp_path, processes):
    process = start(config, tmp_path, "--nproc", processes, "experiment.evaluate_every=0", *HEAVY)
    wait_for_step(process, tmp_path, 1)
    ranks = descendants(process.pid) if processes > 1 else [process.pid]
    requests = [signal.SIGTERM, signal.SIGINT]
    for rank in ranks:  # both requests are there before the first one can be followed, with a save
        os.kill(rank, signal.SIGSTOP)
        wait_until(rank, is_stopped)
    for request in requests:
        process.send_signal(request)
    for rank in ranks:
        wait_until(rank, has_pending(requests))
    for rank in ranks:
        os.kill(rank, signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not glob.glob(f"{tmp_path}/checkpoint-*")
