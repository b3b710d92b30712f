# SPDX-License-Identifier: MIT
"""mmada data shapes: the files it writes, read back with Pillow and plain Python."""
import json
import os
import subprocess

from PIL import Image

PROGRAM = os.environ["MMADA_PROGRAM"]
COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (235, 205, 40),
          "purple": (150, 60, 190), "orange": (245, 140, 30), "cyan": (60, 200, 210), "black": (30, 30, 30)}
CENTERS = {"top left": (16, 16), "top right": (48, 16), "bottom left": (16, 48), "bottom right": (48, 48)}


def run(*args):
    return subprocess.run([PROGRAM, "data", "shapes", *map(str, args)], capture_output=True, text=True)


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def test_writes_pictures_that_show_their_scenes(tmp_path):
    done = run("--output", tmp_path / "a", "--count", 30, "--seed", 5, "--contact-sheet", tmp_path / "sheet.png", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 30
    samples = lines(tmp_path / "a" / "shapes.jsonl")
    assert len(samples) == 30
    for sample in samples:
        image = Image.open(tmp_path / "a" / sample["image"]).convert("RGB")
        assert image.size == (64, 64)
        shown = {o["cell"]: COLORS[o["color"]] for o in sample["scene"]}
        for cell, center in CENTERS.items():
            assert image.getpixel(center) == shown.get(cell, (255, 255, 255))
        assert sample["reply"].endswith(sample["answer"])
    problems = lines(tmp_path / "a" / "arithmetic.jsonl")
    for problem in problems:
        a, b = problem["question"][len("what is "):-1].split("+")
        assert int(problem["answer"]) == int(a) + int(b)
    assert Image.open(tmp_path / "sheet.png").size == (8 * 66 + 2, 4 * 66 + 2)


def test_same_seed_same_files_and_other_split_other_pairs(tmp_path):
    for name, seed, split in (("a", 1, "train"), ("b", 1, "train"), ("c", 1, "heldout")):
        assert run("-o", tmp_path / name, "-n", 20, "--seed", seed, "--split", split).returncode == 0
    read = lambda name: {f: (tmp_path / name / f).read_bytes() for f in sorted(os.listdir(tmp_path / name))}
    assert read("a") == read("b")
    held = {("red", "circle"), ("black", "square"), ("cyan", "triangle"), ("orange", "star")}
    pairs = lambda name: [{(o["color"], o["shape"]) for o in s["scene"]} for s in lines(tmp_path / name / "shapes.jsonl")]
    assert all(not p & held for p in pairs("a"))
    assert all(p & held for p in pairs("c"))


def test_mistakes_are_named(tmp_path):
    assert run("--count", 1).returncode == 2
    assert run("--output", tmp_path, "--split", "valid").returncode == 2
    options = tmp_path / "options.json"
    options.write_text('{"rowz": 2}')
    failed = run("--output", tmp_path / "x", "--options", options)
    assert failed.returncode == 1
    assert "options.json" in failed.stderr and "did you mean `rows`" in failed.stderr
    options.write_text('{"rows": 3, "columns": 3, "sizes": {"small": 5, "large": 9}, /* a finer grid */ "canvas": 96}')
    assert run("--output", tmp_path / "y", "--count", 2, "--options", options).returncode == 0
    assert Image.open(tmp_path / "y" / "000000.png").size == (96, 96)
