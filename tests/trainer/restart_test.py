# SPDX-License-Identifier: MIT
"""A run whose process is killed again and again, each time beyond the checkpoint before: the launcher brings it to the end, bit for bit
the undisturbed run, and says what share of the time was of use. (The long storm is in interruptions_test.py.)"""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from training_run import STEPS, config, losses, start, step_seconds, straight, train, weights_hash

KILLS, SAVE_EVERY = 3, 2


def reached(run):
    """The last step whose line is whole."""
    try:
        with open(f"{run}/metrics.jsonl") as lines:
            return max((json.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)
    except FileNotFoundError:
        return 0


def wait_until(process, condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.poll()
        time.sleep(0.002)


def only_child(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        pids = children.read().split()
    return int(pids[0]) if len(pids) == 1 else None


def kill_at(process, run, step, victims):
    """Kills the run's process once it has done `step`; the last step that it did."""
    wait_until(process, lambda: reached(run) >= step and only_child(process) not in victims)
    victim = only_child(process)
    os.kill(victim, signal.SIGKILL)
    wait_until(process, lambda: only_child(process) != victim)
    victims.add(victim)
    return reached(run)


def steps_to_die_at(moments):
    """Ascending, each at least one checkpoint beyond the one before (the same place three times ends a run)."""
    span = (STEPS - 2) // KILLS
    return [1 + SAVE_EVERY + i * span + moments.randrange(span - SAVE_EVERY) for i in range(KILLS)]


def test_a_run_killed_again_and_again_ends_in_the_undisturbed_one_and_tells_its_goodput(config, tmp_path):
    victims, begin = {None}, time.monotonic()
    process = start(config, tmp_path, "--max-restarts", KILLS, f"experiment.save_every={SAVE_EVERY}", "experiment.evaluate_every=0")
    wait_until(process, lambda: reached(tmp_path) > 0)
    first_seen = time.monotonic()
    died_at = [kill_at(process, tmp_path, step, victims) for step in steps_to_die_at(random.Random(24))]
    last_seen = time.monotonic()
    _, log = process.communicate(timeout=300)
    end = time.monotonic()
    assert process.returncode == 0, log
    assert log.count("starting again in 1 s") == KILLS, log  # never later: each time it got on
    went_on_at = [int(step) for step in re.findall(r"resuming from .* at step (\d+)", log)]
    repeated = [there - back for there, back in zip(died_at, went_on_at, strict=True)]
    assert all(0 <= steps <= SAVE_EVERY for steps in repeated), repeated

    assert weights_hash(tmp_path) == weights_hash(straight(config))
    found, expected = losses(tmp_path), losses(straight(config))
    assert sorted(found) == list(range(1, STEPS + 1))
    assert [found[step]["loss"] for step in found] == [expected[step]["loss"] for step in found]

    share, useful, total = map(float, re.search(r"goodput (\S+) %: (\S+) s of (\S+) s", log).groups())
    # a step that was repeated has its last line alone
    assert useful == pytest.approx(step_seconds(tmp_path), rel=0.05)
    assert last_seen - first_seen - 0.01 <= total <= end - begin + 0.01  # it is printed to 0.01 s
    assert share == pytest.approx(100 * useful / total, abs=100 * 0.01 / total + 0.01)


def reseal(checkpoint):
    """Makes the manifest agree with what is there."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (checkpoint / name).read_bytes()
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("kind", ["master", "exp_avg", "exp_avg_sq", "ema"])
def test_a_checkpoint_with_a_value_that_is_not_finite_is_refused(config, tmp_path, kind):
    checkpoint, shard = tmp_path / "checkpoint-5", "shard-0-of-1.safetensors"
    shutil.copytree(f"{straight(config)}/checkpoint-5", checkpoint)
    tensors = load_file(checkpoint / shard)
    name = sorted(name for name in tensors if name.endswith(f"/{kind}"))[0]
    tensors[name][-1] = np.inf if kind == "master" else np.nan
    save_file(tensors, checkpoint / shard)
    reseal(checkpoint)
    log = train(config, f"experiment.output_dir={tmp_path}", check=1)
    assert f"not finite in {name}" in log and "checkpoint-5 is damaged" in log
    assert not os.path.exists(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text('{"step": 1')], ids=["missing", "cut"])
def test_a_damaged_newest_checkpoint_keeps_no_launcher_from_starting(config, tmp_path, damage):
    for step in (5, 10):
        shutil.copytree(f"{straight(config)}/checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    damage(tmp_path / "checkpoint-10" / "state.json")
    log = train(config, f"experiment.output_dir={tmp_path}", "--max-restarts", 1)
    assert "passing over" in log and "at step 5" in log
    assert "goodput unknown" in log and "checkpoint-10/state.json" in log
    assert weights_hash(tmp_path) == weights_hash(straight(config))
