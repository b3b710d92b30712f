# SPDX-License-Identifier: MIT
"""`tokenize image` and `detokenize image` give the golden figures, and one clear error for bad input."""

import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

PROGRAM = os.environ["MMADA_PROGRAM"]
DATA = os.environ["MMADA_TEST_DATA"]
TINY = DATA + "/tiny_magvit"
GOLDEN = load_file(DATA + "/magvit.safetensors")


def mmada(*arguments, status=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_tokenize_image_writes_the_golden_codes(tmp_path):
    save_file({"image": GOLDEN["image"]}, tmp_path / "in.safetensors")
    mmada("tokenize", "image", "--image-tokenizer", TINY, "--pixels", tmp_path / "in.safetensors",
          "--output", tmp_path / "out.safetensors")
    out = load_file(tmp_path / "out.safetensors")
    assert out["codes"].dtype == np.int64 and np.array_equal(out["codes"], GOLDEN["codes"])
    assert out["shape"].tolist() == [8, 8]


@pytest.mark.parametrize("shape", [None, [8, 8], [4, 16]])
def test_detokenize_image_writes_the_golden_pictures(shape, tmp_path):
    tensors = {"codes": GOLDEN["codes"]}
    if shape:
        tensors["shape"] = np.array(shape, np.int64)
    save_file(tensors, tmp_path / "in.safetensors")
    mmada("detokenize", "image", "--image-tokenizer", TINY, "--codes", tmp_path / "in.safetensors",
          "--output", tmp_path / "out.safetensors")
    image = load_file(tmp_path / "out.safetensors")["image"]
    if shape == [4, 16]:
        assert image.shape == (2, 3, 16, 64)
    else:
        assert np.abs(image - GOLDEN["reconstruction"]).max() < 2e-5


def test_a_picture_file_becomes_codes_and_a_picture_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    answer = json.loads(mmada("tokenize", "image", "--image-tokenizer", TINY, "--image", tmp_path / "in.png", "--json",
                              "--output", tmp_path / "codes.safetensors"))
    assert answer["grid"] == [7, 10] and len(answer["codes"][0]) == 70
    line = mmada("tokenize", "image", "--image-tokenizer", TINY, "--image", tmp_path / "in.png")
    assert [int(code) for code in line.split(",")] == answer["codes"][0]
    mmada("detokenize", "image", "--image-tokenizer", TINY, "--codes", tmp_path / "codes.safetensors",
          "--output", tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").size == (40, 28)


def test_size_and_fit_bring_a_picture_to_the_grid(tmp_path):
    Image.new("RGB", (100, 50), (10, 200, 30)).save(tmp_path / "in.png")
    ask = ["tokenize", "image", "--image-tokenizer", TINY, "--image", tmp_path / "in.png", "--json"]
    assert json.loads(mmada(*ask, "--size", "16x32", "--fit", "pad"))["grid"] == [4, 8]
    assert "multiples of 4" in mmada(*ask, "--size", "18x32", status=2)
    assert "multiples of 4" in mmada(*ask, "--size", "16x32x8", status=2)
    mmada(*ask, "--fit", "stretch", status=2)


@pytest.mark.parametrize("tensors,message", [
    ({"codes": np.full((1, 4), 256, np.int64)}, "expected 0 to 255"),
    ({"codes": np.full((1, 4), -1, np.int64)}, "expected 0 to 255"),
    ({"codes": np.zeros((1, 5), np.int64)}, "square"),
    ({"codes": np.zeros((1, 4), np.int64), "shape": np.array([3, 2], np.int64)}, "shape"),
    ({"codes": np.zeros((1, 4), np.float32)}, "int64"),
    ({"other": np.zeros((1, 4), np.int64)}, "codes"),
])
def test_bad_codes_are_one_error_and_leave_no_output(tensors, message, tmp_path):
    save_file(tensors, tmp_path / "in.safetensors")
    error = mmada("detokenize", "image", "--image-tokenizer", TINY, "--codes", tmp_path / "in.safetensors",
                  "--output", tmp_path / "out.safetensors", status=1)
    assert message in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("tensors,message", [
    ({"image": np.zeros((1, 3, 6, 8), np.float32)}, "multiples of 4"),
    ({"image": np.zeros((1, 1, 8, 8), np.float32)}, "[B, 3, H, W]"),
    ({"image": np.full((1, 3, 8, 8), np.nan, np.float32)}, "non-finite"),
    ({"image": np.zeros((3, 8, 8), np.float32)}, "[B, 3, H, W]"),
    ({"pixels": np.zeros((1, 3, 8, 8), np.float32)}, "image"),
])
def test_bad_pixels_are_one_error(tensors, message, tmp_path):
    save_file(tensors, tmp_path / "in.safetensors")
    error = mmada("tokenize", "image", "--image-tokenizer", TINY, "--pixels", tmp_path / "in.safetensors", status=1)
    assert message in error and len(error.strip().splitlines()) == 1
