# SPDX-License-Identifier: MIT
"""mmada data: the files that shapes writes, read back with Pillow and plain Python; what check, stats and preview see."""
import io
import json
import os
import subprocess
import tarfile

from PIL import Image
from tokenizers import Tokenizer

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


def inspect(*args, status=0):
    done = subprocess.run([PROGRAM, "data", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def folder(tmp_path, captions):
    """A caption_folder source: pictures of 3 x (4 + i) pixels with these captions."""
    for i, caption in enumerate(captions):
        Image.new("RGB", (3, 4 + i), (60 * i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(caption, encoding="utf-8")
    return {"type": "caption_folder", "path": str(tmp_path)}


def shard(path, members):
    with tarfile.open(path, "w") as tar:
        for name, contents in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            tar.addfile(entry, io.BytesIO(contents))


def test_check_reads_an_epoch_and_names_every_sample_that_fails(tmp_path):
    source = folder(tmp_path, ["a", "b", "c", "d"])
    done = inspect("check", json.dumps(source), "--json")
    assert json.loads(done.stdout) == [{"source": "source", "samples": 4, "left_out": {}, "errors": []}]
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "2.txt").unlink()
    report, = json.loads(inspect("check", json.dumps(source), "--json", status=1).stdout)
    assert report["samples"] == 1 and report["left_out"] == {"without_text": 1}
    assert sorted(error.split(": ")[0] for error in report["errors"]) == [str(tmp_path / "1.png"), str(tmp_path / "3.png")]
    plain = inspect("check", json.dumps(source), status=1).stdout
    assert "1 samples read, 1 without_text, 2 errors" in plain and "1.png: found a file that begins with" in plain


def test_check_counts_an_epoch_of_shards(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    good = [(f"{i}.{end}", contents) for i in range(5) for end, contents in (("png", picture.getvalue()), ("txt", b"x"))]
    shard(tmp_path / "a.tar", good + [("9.txt", b"alone")])
    shard(tmp_path / "b.tar", [("bad.png", b"?"), ("bad.txt", b"y")])
    source = {"type": "webdataset", "path": str(tmp_path / "{a,b}.tar"), "buffer": 3}
    report, = json.loads(inspect("check", json.dumps(source), "--json", status=1).stdout)
    assert (report["samples"], len(report["errors"])) == (5, 1) and 'b.tar: member "bad.png"' in report["errors"][0]
    report, = json.loads(inspect("check", json.dumps({**source, "on_error": "skip", "workers": 2}), "--json").stdout)
    assert report["samples"] == 5 and report["left_out"]["damaged_sample"] >= 1
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:700])
    report, = json.loads(inspect("check", json.dumps(source), "--json", status=1).stdout)
    assert len(report["errors"]) == 1 and "b.tar" in report["errors"][0]


def test_check_finds_every_source_of_a_configuration(tmp_path):
    config = tmp_path / "run.json"
    caption = {"type": "shapes", "task": "caption"}
    config.write_text(json.dumps({"dataset": {"flows": [{"source": caption}, {"source": {"type": "mixture", "sources": [{"source": caption}]}}]}}))
    report = json.loads(inspect("check", config, "-n", 3, "--json").stdout)
    assert [entry["source"] for entry in report] == ["dataset.flows.0.source", "dataset.flows.1.source"]
    assert [entry["samples"] for entry in report] == [3, 3]
    config.write_text("{}")
    assert "run.json: found no source" in inspect("check", config, status=1).stderr
    assert "did you mean" in inspect("check", '{"type": "shape"}', status=1).stderr


def test_check_names_the_bad_lines_of_prompts_of_every_kind(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    kinds = {
        "text": ['{"prompt": "1+1?", "answer": 2}', '{"prompt": ""}', '{"prompt": "2+2?", "answer": [4]}', 'no json'],
        "mmu": ['{"prompt": "what?", "image": "good.png", "answer": "A"}', '{"prompt": "what?"}', '{"prompt": "?", "image": "none.png"}',
                '{"prompt": "?", "image": "bad.png"}'],
        "t2i": ['{"prompt": "a star", "metadata": {"scene": []}}', '{"promt": "a star"}', '{"prompt": 3}', '{"prompt": "a", "metadata": "red"}'],
    }
    streams = []
    for task, lines in kinds.items():
        (tmp_path / f"{task}.jsonl").write_text("\n".join(lines) + "\n")
        streams.append({"task": task, "prompts": 2, "source": {"type": "jsonl", "format": "prompt", "path": str(tmp_path / f"{task}.jsonl")}})
    config = tmp_path / "run.json"
    config.write_text(json.dumps({"dataset": {"prompts": streams}}))
    for report, task in zip(json.loads(inspect("check", config, "--json", status=1).stdout), kinds, strict=True):
        assert report["samples"] == 1, report
        assert sorted(error.removeprefix(f"{tmp_path}/").split(" ")[0].rstrip(":") for error in report["errors"]) == [f"{task}.jsonl:{line}" for line in (2, 3, 4)]


def test_stats_equal_plain_counts(tmp_path):
    captions = ["red", "\u65e5\u672c\u8a9e\u8a9e", "a large red circle", "blue", ""]
    source = folder(tmp_path, captions[:4])
    pocket = os.path.join(os.environ["MMADA_TEST_DATA"], "..", "..", "examples", "pocket", "mmada")
    stats, = json.loads(inspect("stats", json.dumps(source), "--json", "--tokenizer", pocket).stdout)
    lengths = sorted(len(caption) for caption in captions[:4])
    assert stats["samples"] == stats["pictures"] == 4
    characters = stats["characters"]
    assert (characters["min"], characters["median"], characters["max"]) == (lengths[0], lengths[2], lengths[-1])
    assert characters["mean"] == sum(lengths) / 4
    assert characters["histogram"] == [{"from": 2, "to": 3, "count": 1}, {"from": 4, "to": 7, "count": 2}, {"from": 16, "to": 31, "count": 1}]
    assert {(size["width"], size["height"]): size["count"] for size in stats["picture_sizes"]} == {(3, 4 + i): 1 for i in range(4)}
    tokenizer = Tokenizer.from_file(os.path.join(pocket, "tokenizer.json"))
    counts = [len(tokenizer.encode(caption, add_special_tokens=False).ids) for caption in captions[:4]]
    assert (stats["tokens"]["min"], stats["tokens"]["max"], stats["tokens"]["mean"]) == (min(counts), max(counts), sum(counts) / 4)
    plain = inspect("stats", json.dumps(source)).stdout
    assert "4 samples, 4 with a picture" in plain and "characters: 3 to 18" in plain


def test_preview_shows_pictures_with_their_texts(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    source = folder(data, ["zero", "one", "two"])
    done = inspect("preview", json.dumps(source), "-n", 3, "-o", tmp_path / "sheet.png", "--columns", 2, "--size", 8, "--json")
    entries = json.loads(done.stdout)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (2 * 10 + 2, 2 * 10 + 2)
    assert sorted(entry["text"] for entry in entries) == ["one", "two", "zero"]
    for entry in entries:
        row, column = divmod(entry["picture"], 2)
        center = sheet.getpixel((2 + 10 * column + 4, 2 + 10 * row + 4))
        assert abs(center[0] - 60 * ["zero", "one", "two"].index(entry["text"])) < 25  # the white around it reaches in
    wide = tmp_path / "wide"
    wide.mkdir()
    fitted = folder(wide, ["one"])
    Image.new("RGB", (40, 20), (10, 200, 30)).save(next(wide.glob("*.png")))
    for fit, corner in (("pad", (255, 255, 255)), ("clip", (10, 200, 30)), ("squash", (10, 200, 30)), (None, (255, 255, 255))):
        inspect("preview", json.dumps(fitted | ({"fit": fit} if fit else {})), "-n", 1, "-o", tmp_path / "fit.png", "--columns", 1, "--size", 20)
        pixel = Image.open(tmp_path / "fit.png").getpixel((2 + 10, 2 + 1))
        assert max(abs(a - b) for a, b in zip(pixel, corner)) < 3, (fit, pixel)
    text_only = inspect("preview", '{"type": "shapes", "task": "arithmetic"}', "-n", 2).stdout
    assert text_only.count("what is ") == 2
    failed = inspect("preview", '{"type": "shapes", "task": "arithmetic"}', "-n", 2, "-o", tmp_path / "none.png", status=1)
    assert "found no picture in 2 samples" in failed.stderr and not (tmp_path / "none.png").exists()
