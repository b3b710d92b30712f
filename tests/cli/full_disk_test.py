# SPDX-License-Identifier: MIT
"""A full disk and a limit on the size of files are one error that names the file, and leave nothing half-written."""
import json
import os
import pathlib
import resource
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

PROGRAM = os.environ["MMADA_PROGRAM"]
POCKET = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "pocket"
MODEL = ["--model", POCKET / "mmada", "--threads", 1]
IMAGES = ["--image-tokenizer", POCKET / "image_tokenizer"]


@pytest.fixture
def writers(tmp_path):
    """Every verb that writes: name -> (arguments for an output folder, the file that is too large there)."""
    save_file({"input_ids": np.zeros((1, 8), np.int64)}, tmp_path / "ids.safetensors")
    save_file({"codes": np.zeros((1, 64), np.int64)}, tmp_path / "codes.safetensors")
    return {
        "t2i": lambda out: ["t2i", *MODEL, *IMAGES, "--steps", 2, "--prompt", "a red square", "--output", out / "a.png"],
        "contact sheet": lambda out: ["t2i", *MODEL, *IMAGES, "--steps", 2, "--prompt", "a red square", "--contact-sheet", out / "a.png"],
        "logits": lambda out: ["logits", *MODEL, "--input", tmp_path / "ids.safetensors", "--output", out / "a.safetensors"],
        "detokenize": lambda out: ["detokenize", "image", *IMAGES, "--codes", tmp_path / "codes.safetensors", "--output", out / "a.safetensors"],
        "data": lambda out: ["data", "shapes", "--count", 40, "--contact-sheet", out / "a.png"],
    }


@pytest.mark.parametrize("verb", ["t2i", "contact sheet", "logits", "detokenize", "data"])
def test_a_limit_on_the_size_of_files(verb, writers, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    arguments = [PROGRAM, *map(str, writers[verb](out))]
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))  # what `ulimit -f 1` sets
    done = subprocess.run(arguments, capture_output=True, text=True, preexec_fn=small)
    assert done.returncode == 1, done  # SIGXFSZ would be -25
    assert "out/a." in done.stderr and "writing failed with" in done.stderr and "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and list(out.iterdir()) == []


@pytest.mark.parametrize("verb", ["logits", "detokenize"])
def test_a_full_disk(verb, writers, tmp_path):
    """A file system of one page in a mount namespace of the command's own."""
    out = tmp_path / "out"
    out.mkdir()
    can_mount = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=4k tmpfs '{out}'"]
    try:
        allowed = subprocess.run(can_mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this machine allows no mount namespaces")
    command = " ".join(f"'{a}'" for a in [PROGRAM, *map(str, writers[verb](out))])
    done = subprocess.run([*can_mount[:-1], f"{can_mount[-1]} && {{ {command}; echo status $?; ls -A '{out}'; }}"],
                          capture_output=True, text=True)
    assert done.stdout == "status 1\n", done
    assert "out/a.safetensors: writing failed" in done.stderr and "No space left on device" in done.stderr


@pytest.mark.parametrize("arguments", [["info"], ["info", "--json"], ["text", *MODEL, "--prompt", "hi", "--gen-length", 8, "--block-length", 8, "--steps", 8]])
def test_an_answer_that_cannot_be_printed_is_a_failure(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "mmada: standard output: writing failed: No space left on device\n"


def test_training_keeps_the_checkpoint_before(tmp_path):
    config = {"task": "image_tokenizer",
              "experiment": {"output_dir": str(tmp_path / "run"), "save_every": 1},
              "model": {"architecture": {half: {"ch": 8, "ch_mult": [1, 2], "num_res_blocks": [1, 1], "z_channels": 4}
                                         for half in ("encoder", "decoder")} | {"norm_groups": 8}},
              "dataset": {"rows": 1, "resolution": 64, "source": {"type": "shapes", "task": "picture"}},
              "threads": 1, "training": {"max_train_steps": 1}}
    (tmp_path / "train.json").write_text(json.dumps(config))
    command = [PROGRAM, "train", "--config", str(tmp_path / "train.json")]
    subprocess.run(command, check=True, capture_output=True)
    weights = tmp_path / "run" / "checkpoint-1" / "unwrapped_model" / "model.safetensors"
    before = weights.read_bytes()
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))
    done = subprocess.run([*command, "training.max_train_steps=2"], capture_output=True, text=True, preexec_fn=small)
    assert done.returncode == 74 and "writing failed" in done.stderr and "File too large" in done.stderr, done
    assert weights.read_bytes() == before
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-1"]
    subprocess.run([*command, "training.max_train_steps=2"], check=True, capture_output=True)  # goes on where it can write
