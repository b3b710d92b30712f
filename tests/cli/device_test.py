# SPDX-License-Identifier: MIT
"""The program on a GPU: the pocket model says and draws what it does on the CPU."""
import json
import os
import pathlib
import subprocess

import pytest

PROGRAM = os.environ["MMADA_PROGRAM"]
POCKET = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "pocket"
REQUIRED = os.environ.get("MMADA_REQUIRE_GPU") == "1"


def has_gpu():
    done = subprocess.run([PROGRAM, "info"], capture_output=True, text=True, check=True)
    return any(line.split() == ["cuda", "true"] for line in done.stdout.splitlines())


needs_gpu = pytest.mark.skipif(not REQUIRED and not has_gpu(), reason="no GPU")

TEXT = ["text", "--prompt", "What is left of the red circle?", "--gen-length", "32", "--steps", "16", "--block-length", "16"]
PICTURE = ["t2i", "--prompt", "a red circle left of a blue square", "--steps", "8", "--guidance-scale", "2"]
REPLY = ["mmu", "--image", str(POCKET / "scene.png"), "--image-tokenizer", str(POCKET / "image_tokenizer"), "--prompt",
         "What is in the picture?", "--gen-length", "16", "--block-length", "16", "--steps", "8"]


def generate(verb, device, dtype):
    command = [PROGRAM, *verb, "--model", str(POCKET / "mmada"), "--greedy", "--json", "--device", device, "--dtype", dtype]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_gpu
@pytest.mark.parametrize("verb", [TEXT, PICTURE, REPLY], ids=["text", "t2i", "mmu"])
def test_a_gpu_gives_the_tokens_of_the_cpu(verb):
    assert generate(verb, "cuda", "fp32")["ids"] == generate(verb, "cpu", "fp32")["ids"]


@needs_gpu
@pytest.mark.parametrize("verb", [TEXT, PICTURE], ids=["text", "t2i"])
def test_a_gpu_gives_the_same_tokens_twice_in_bf16(verb):
    first = generate(verb, "cuda", "bf16")
    assert first["ids"] == generate(verb, "cuda", "bf16")["ids"]
    assert len(first["ids"]) == len(generate(verb, "cpu", "fp32")["ids"])


@pytest.mark.parametrize("verb", [TEXT, PICTURE, REPLY], ids=["text", "t2i", "mmu"])
def test_these_generations_work_on_the_cpu(verb):
    assert generate(verb, "cpu", "fp32") == generate(verb, "cpu", "fp32")
