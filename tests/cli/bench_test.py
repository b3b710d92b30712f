# SPDX-License-Identifier: MIT
"""`mmada bench` takes every step it says it takes; how long they take is nobody's claim."""
import json
import os
import pathlib
import subprocess

PROGRAM = os.environ["MMADA_PROGRAM"]
MODEL = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "pocket" / "mmada"


def bench(*flags, status=0):
    done = subprocess.run([PROGRAM, "bench", "--model", str(MODEL), *flags], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_every_step_of_every_run_is_counted():
    told = json.loads(bench("--gen-length", "16", "--block-length", "8", "--steps", "8", "--prompt-tokens", "5", "--repeats", "3", "--json"))
    assert (told["new_tokens"], told["nfe"], told["prompt_tokens"], len(told["seconds"])) == (16, 8, 5, 3)
    assert told["median_seconds"] == sorted(told["seconds"])[1]
    assert abs(told["tokens_per_second"] * told["median_seconds"] - 16) < 1e-6


def test_the_answer_is_one_line():
    line = bench("--gen-length", "8", "--block-length", "8", "--steps", "2", "--repeats", "1")
    assert line.count("\n") == 1 and "8 tokens after 64 in" in line and "2 forward passes of" in line


def test_no_repeats_are_refused():
    assert "--repeats" in bench("--repeats", "0", status=2)
