# SPDX-License-Identifier: MIT
"""`mmada train --nproc`: the steps of one process, interruptions, other numbers of processes, dead ranks."""
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from training_run import STEPS, config, losses, metrics, start, straight, train, wait_for_step, weights_hash


def ranks_of(process):
    """Process ids of a run's ranks, in order."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        pids = [int(pid) for pid in children.read().split()]
    rank = lambda pid: int(dict(v.split("=", 1) for v in open(f"/proc/{pid}/environ").read().split("\0") if "=" in v)["RANK"])
    return sorted(pids, key=rank)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_processes_take_the_steps_of_one(config, tmp_path, processes):
    train(config, f"experiment.output_dir={tmp_path}", "--nproc", processes)
    found, expected = losses(tmp_path), losses(straight(config))
    assert found.keys() == expected.keys()
    for step, entry in expected.items():
        assert found[step].keys() == entry.keys()
        for name, value in entry.items():
            assert found[step][name] == pytest.approx(value, rel=1e-5 if name == "grad_norm" else 1e-6, abs=1e-6 if "gap" in name else 0), (step, name)
    for name in ("unwrapped_model", "unwrapped_model_ema"):
        ours, theirs = (load_file(f"{run}/checkpoint-{STEPS}/{name}/model.safetensors") for run in (tmp_path, straight(config)))
        assert ours.keys() == theirs.keys()
        assert max(np.abs(ours[key] - theirs[key]).max() for key in theirs) < 1e-6


def test_moments_in_8_bits_train_over_processes_and_go_on_in_another_number(config, tmp_path):
    narrow = ["optimizer.moments=8bit", "experiment.save_every=5"]
    for name, processes in {"one": 1, "two": 2}.items():
        train(config, f"experiment.output_dir={tmp_path / name}", *narrow, "--nproc", processes)
    one, two, wide = losses(tmp_path / "one"), losses(tmp_path / "two"), losses(straight(config))
    # the last bits of a sum can tip a moment into the next level, a percent away
    assert all(two[step]["loss"] == pytest.approx(one[step]["loss"], rel=1e-3) for step in one)
    assert one[STEPS]["loss"] == pytest.approx(wide[STEPS]["loss"], rel=0.02)
    assert one[STEPS]["loss"] != wide[STEPS]["loss"]
    shutil.copytree(tmp_path / "two" / "checkpoint-5", tmp_path / "on" / "checkpoint-5")
    train(config, f"experiment.output_dir={tmp_path / 'on'}", *narrow)
    found = losses(tmp_path / "on")
    assert sorted(found) == list(range(6, STEPS + 1))
    assert found[6]["loss"] == pytest.approx(two[6]["loss"], rel=1e-6)
    assert found[STEPS]["loss"] == pytest.approx(two[STEPS]["loss"], rel=1e-3)
    assert "exp_avg_8bit" in train(config, f"experiment.output_dir={tmp_path / 'on'}", "training.max_train_steps=20", check=1)  # wide moments: refused


def test_ranks_draw_from_identical_streams_only_on_request(config, tmp_path):
    runs = {}
    for identical in ("false", "true"):
        run = tmp_path / identical
        train(config, f"experiment.output_dir={run}", "--nproc", 2, f"dataset.identical_rank_streams={identical}", "training.max_train_steps=2")
        runs[identical] = losses(run)[1]["loss"]
    assert runs["false"] == pytest.approx(losses(straight(config))[1]["loss"], rel=1e-6)
    assert runs["true"] != pytest.approx(runs["false"], rel=1e-4)


@pytest.mark.parametrize("tail", [0, 3])
def test_packed_rows_train_as_rows_whose_padding_is_hidden_and_unpredicted_in_any_number_of_processes(config, tmp_path, tail):
    runs = {"padded": ["dataset.packed=false"], "packed": ["dataset.packed=true"], "in two": ["dataset.packed=true", "--nproc", 2]}
    for name, flags in runs.items():
        train(config, f"experiment.output_dir={tmp_path / name}", f"dataset.supervised_eos_tail={tail}", "training.max_train_steps=4", *flags)
    padded, packed, two = (metrics(tmp_path / name) for name in runs)
    for found in (packed, two):
        for step, entry in padded.items():
            assert found[step]["loss"] == pytest.approx(entry["loss"], rel=1e-5), step
            assert found[step]["grad_norm"] == pytest.approx(entry["grad_norm"], rel=1e-4), step
        assert found[1]["padding_saved"] > padded[1]["padding_saved"] + 0.05
    assert losses(straight(config))[1]["loss"] != pytest.approx(packed[1]["loss"], rel=1e-3)  # published rows learn their padding


def test_packed_rows_need_attention_that_hides_padding(config):
    log = train(config, "dataset.packed=true", "attention_mode=none", check=1)
    assert "dataset.packed" in log and 'expected attention_mode "hard"' in log


@pytest.fixture(scope="module")
def pair(config):
    """An uninterrupted run of two processes."""
    run = f"{config.parent}/pair"
    train(config, f"experiment.output_dir={run}", "--nproc", 2)
    return run


@pytest.mark.parametrize("processes", [1, 4])
def test_a_run_of_two_processes_goes_on_in_any_number(config, pair, tmp_path, processes):
    shutil.copytree(f"{pair}/checkpoint-5", tmp_path / "checkpoint-5")
    log = train(config, f"experiment.output_dir={tmp_path}", "--nproc", processes)
    assert f"made by 2 processes, this run has {processes}" in log and "at step 5" in log
    found, expected = losses(tmp_path), losses(straight(config))
    assert sorted(found) == list(range(6, STEPS + 1))
    assert all(found[step]["loss"] == pytest.approx(expected[step]["loss"], rel=1e-6) for step in found)


def test_shards_that_keep_their_gathered_weights_change_no_loss_and_bfloat16_changes_it_little_and_resumes_bit_for_bit(config, pair, tmp_path):
    kept = ["sharding.zero=2", "--nproc", 2]
    narrow = [*kept, "dtype=bf16", "sharding.reduce_dtype=bf16"]
    for name, flags in {"kept": kept, "sums": [*kept, "dtype=bf16", "training.max_train_steps=2"], "narrow": narrow}.items():
        train(config, f"experiment.output_dir={tmp_path / name}", *flags)
    wide, found, sums, narrow_losses = (losses(run) for run in (pair, *(tmp_path / name for name in ("kept", "sums", "narrow"))))
    for step in wide:
        assert found[step]["loss"] == pytest.approx(wide[step]["loss"], rel=1e-6), step
        assert narrow_losses[step]["loss"] == pytest.approx(wide[step]["loss"], rel=0.02), step
        assert narrow_losses[step]["loss"] != wide[step]["loss"], step
    assert narrow_losses[1]["loss"] == sums[1]["loss"]  # the first sum of gradients comes after it
    assert narrow_losses[1]["grad_norm"] != sums[1]["grad_norm"]
    shutil.copytree(tmp_path / "narrow" / "checkpoint-5", tmp_path / "on" / "checkpoint-5")
    assert "at step 5" in train(config, f"experiment.output_dir={tmp_path / 'on'}", *narrow)
    assert losses(tmp_path / "on") == {step: narrow_losses[step] for step in range(6, STEPS + 1)}
    assert weights_hash(tmp_path / "on") == weights_hash(tmp_path / "narrow")


@pytest.mark.parametrize("wanted_signal,status", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)])
def test_two_processes_interrupted_continue_bit_for_bit(config, pair, tmp_path, wanted_signal, status):
    process = start(config, tmp_path, "--nproc", 2)
    wait_for_step(process, tmp_path, 7)
    if wanted_signal == signal.SIGKILL:
        for pid in ranks_of(process):
            os.kill(pid, wanted_signal)
    process.send_signal(wanted_signal)
    process.communicate(timeout=60)
    assert process.returncode == status
    train(config, f"experiment.output_dir={tmp_path}", "--nproc", 2)
    assert losses(tmp_path) == losses(pair)
    assert weights_hash(tmp_path) == weights_hash(pair)


@pytest.mark.parametrize("dead", [0, 1, 3])
def test_a_dead_rank_ends_the_others_within_seconds_and_is_named(config, tmp_path, dead):
    process = start(config, tmp_path, "--nproc", 4, "training.max_train_steps=100000", "experiment.save_every=0",
                    "experiment.evaluate_every=0")
    wait_for_step(process, tmp_path, 3)
    killed = time.monotonic()
    os.kill(ranks_of(process)[dead], signal.SIGKILL)
    _, log = process.communicate(timeout=60)
    assert time.monotonic() - killed < 5
    assert process.returncode == 128 + signal.SIGKILL
    assert f"mmada: rank {dead} was ended by signal 9" in log.splitlines()
    told = re.findall(r"^mmada: step (\d+): process group: rank (\d) of 4: ", log, re.M)
    others = [rank for rank in range(4) if rank != dead]
    assert sorted(int(rank) for _, rank in told) == others, log
    reached = max(metrics(tmp_path))  # written once the step is over: the others stood in the next one, or at its end
    for step, rank in told:
        assert int(step) in (reached, reached + 1) and f"mmada: rank {rank} exited with 1" in log, log


@pytest.mark.parametrize("hung", [0, 2])
def test_a_rank_that_stands_still_is_named_by_the_others_within_a_second_of_the_limit(config, tmp_path, hung):
    process = start(config, tmp_path, "--nproc", 3, "training.max_train_steps=100000", "experiment.save_every=0",
                    "experiment.evaluate_every=0", "heartbeat_seconds=2")
    wait_for_step(process, tmp_path, 3)
    stopped = ranks_of(process)[hung]
    begin = time.monotonic()
    os.kill(stopped, signal.SIGSTOP)
    reports = []
    while len(reports) < 2 and (line := process.stderr.readline()):
        if "has shown" in line:
            told = re.search(r"mmada: rank (\d) has shown no sign of life for [\d.]+ s: rank (\d) ends in step (\d+), see ", line)
            reports.append(tuple(map(int, told.groups())))
    assert len(reports) == 2 and 1.5 < time.monotonic() - begin < 3.5
    os.kill(stopped, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    others = [rank for rank in range(3) if rank != hung]
    for rank in others:
        record = json.loads((tmp_path / f"flight-rank-{rank}.json").read_text())
        assert record["silent_rank"] == hung and record["step"] >= 3 and record["collectives"] > 0
        stack = "\n".join(record["stack"])  # where it waits for the one that stands still
        assert "mmada::Group" in stack and "mmada::Trainer::run" in stack, stack
        assert (hung, rank, record["step"]) in reports
    assert not (tmp_path / f"flight-rank-{hung}.json").exists()


@pytest.mark.parametrize("flags", [[], ["--resume", "none"]])
def test_a_run_that_is_allowed_to_starts_again_from_its_last_checkpoint(config, pair, tmp_path, flags):
    process = start(config, tmp_path, "--nproc", 2, "--max-restarts", 2, *flags)
    wait_for_step(process, tmp_path, 7)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0 and "starting again in 1 s" in log and "at step 5" in log
    goodput = re.search(r"goodput ([\d.]+) %: ([\d.]+) s of ([\d.]+) s", log)
    share, productive, wall = map(float, goodput.groups())
    assert 0 < productive < wall and share == pytest.approx(100 * productive / wall, abs=100 * 0.1 / wall)
    assert wall - productive > 1  # the wait before the second start, at least
    assert losses(tmp_path) == losses(pair)
    assert weights_hash(tmp_path) == weights_hash(pair)


def test_four_ranks_of_which_one_died_go_on_within_15_seconds_in_the_undisturbed_run(config, tmp_path):
    quick = ["--nproc", 4, "experiment.save_every=1", "experiment.evaluate_every=0"]
    train(config, f"experiment.output_dir={tmp_path}/quiet", *quick)
    process = start(config, tmp_path / "run", "--max-restarts", 1, *quick)
    wait_for_step(process, tmp_path / "run", 5)
    died, before = time.monotonic(), ranks_of(process)
    os.kill(before[2], signal.SIGKILL)
    reached = max(metrics(tmp_path / "run"))
    wait_for_step(process, tmp_path / "run", reached + 1)  # lines of repeated steps are cut off first
    assert time.monotonic() - died < 15
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    resumed = int(re.search(r"resuming from .* at step (\d+)", log).group(1))
    assert reached - 1 <= resumed <= reached + 1
    assert losses(tmp_path / "run") == losses(tmp_path / "quiet") and weights_hash(tmp_path / "run") == weights_hash(tmp_path / "quiet")


def test_a_run_that_fails_in_one_place_is_given_up(config, tmp_path):
    (tmp_path / "run").write_text("a file where the run's folder should be")
    log = train(config, f"experiment.output_dir={tmp_path}/run", "--nproc", 2, "--max-restarts", 50, check=1)
    assert log.count("starting again") == 2 and "failed 3 times in a row without getting beyond step 0" in log
