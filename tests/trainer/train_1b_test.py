# SPDX-License-Identifier: MIT
"""The benchmark of training on a GPU runs in small without one, and its configuration plans the size that it names."""
import json
import os
import pathlib
import subprocess
import sys

PROGRAM = os.environ["MMADA_PROGRAM"]
ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks/end_to_end/train_1b.py"
SMALL = ["--device", "cpu", "--tiny", "--steps", "3", "--skip", "1"]


def measure(*flags, **changed):
    return subprocess.run([sys.executable, SCRIPT, PROGRAM, *flags], capture_output=True, text=True, timeout=300, env={**os.environ, **changed})


def test_every_line_is_measured_in_small(tmp_path):
    done = measure(*SMALL, "--peak-flops", "1e12", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    text = next(tmp_path.glob("*-train-1b.md")).read_text()
    assert "Not a measurement" in text and "Not measured:" not in text and "1 layers, d_model 64" in text
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line[:2] for line in lines] == [["none", "fp32"], ["norms_and_swiglu", "fp32"], ["blocks", "fp32"], ["none", "8bit"]]
    for line in lines:
        seconds, tokens, _, mfu, _, memory = line[2:]
        assert float(seconds) > 0 and float(tokens) > 0 and mfu.endswith(" %") and float(memory) > 0, line


def test_what_could_not_be_measured_is_named():
    done = measure(*SMALL, "model.architecture.n_heads=3")
    assert done.returncode == 1 and done.stdout.count("ended with 1: ") == 4 and "n_heads" in done.stdout, done.stdout


def test_an_end_in_time_is_named():
    done = measure(*SMALL, "--seconds", "0")
    assert done.returncode == 1 and done.stdout.count("out of time behind step 0") == 4, done.stdout


def test_without_a_gpu_a_measurement_is_refused():
    done = measure(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1 and "found no CUDA device" in done.stderr


def test_the_whole_size_is_planned():
    done = subprocess.run([PROGRAM, "train", "--config", SCRIPT.with_suffix(".json"), "--dry-run", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    # two moments of 4 bytes
    assert round(plan["memory_bytes"]["optimizer"] / 8 / 1e9, 2) == 2.19 and plan["tokens"] == 2 * 15 * 387
