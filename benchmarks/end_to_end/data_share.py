#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Share of a training step that waits for data: drawn pictures against pictures out of shards, texts out of Parquet, by threads that read ahead.

    python benchmarks/end_to_end/data_share.py BUILD/bin/mmada [--only tar] > benchmarks/results/DATE-data-share.md

The files are made once for all runs: pictures of 256 pixels of shapes on a coloured ground, half of them JPEG and half PNG, with captions. They lie in
the page cache: a disk's or network's own time is not in the figures.
"""
import argparse
import collections
import io
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile

import pyarrow
import pyarrow.parquet
from PIL import Image, ImageDraw

from measuring import provenance

ROOT = pathlib.Path(__file__).parents[2]
POCKET = ROOT / "examples/pocket"
PIXELS, FILES = 256, 4
COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (235, 205, 40), "purple": (150, 60, 190), "black": (30, 30, 30)}
CELLS = {"top left": (64, 64), "top right": (192, 64), "bottom left": (64, 192), "bottom right": (192, 192)}
QUESTION = "what is there?"

Case = collections.namedtuple("Case", "name stage data workers processes")
CASES = [Case("transformer, procedural pictures", "pocket_transformer", None, 0, 1),
         Case("transformer, procedural pictures, `--nproc 2`", "pocket_transformer", None, 0, 2)]
CASES += [Case(name, "pocket_transformer", data, workers, 1) for name, data in [
    ("transformer, t2i and mmu from tar", "tar"), ("transformer, t2i and mmu from tgz", "tgz"), ("transformer, lm_chat from Parquet", "parquet")]
    for workers in (0, 1, 2)]
CASES += [Case("image tokenizer, procedural pictures", "pocket_image_tokenizer", None, 0, 1)]
CASES += [Case(f"image tokenizer, {data}", "pocket_image_tokenizer", data, workers, 1) for data in ("tar", "tgz") for workers in (0, 1, 2)]


def draw(number):
    """A picture and its caption, the same for the same number."""
    chance = random.Random(number)
    image = Image.frombytes("RGB", (32, 32), chance.randbytes(32 * 32 * 3)).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
    pen, words = ImageDraw.Draw(image), []
    for cell in chance.sample(list(CELLS), chance.randint(1, 3)):
        (x, y), color, shape, size = CELLS[cell], chance.choice(list(COLORS)), chance.choice(["circle", "square", "triangle"]), chance.randint(25, 60)
        box = (x - size, y - size, x + size, y + size)
        if shape == "triangle":
            pen.polygon([(x, y - size), (x - size, y + size), (x + size, y + size)], fill=COLORS[color])
        else:
            (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLORS[color])
        words.append(f"a {'large' if size > 42 else 'small'} {color} {shape} at {cell}")
    return image, " and ".join(words)


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_data(folder, count):
    """Shards of `count` pictures, and their captions as Parquet; gives the mean bytes of a picture by kind."""
    each, sizes = count // FILES, collections.defaultdict(list)
    for part in range(FILES):
        talks = []
        with tarfile.open(folder / f"{part}.tar", "w") as plain, tarfile.open(folder / f"{part}.tgz", "w:gz", compresslevel=6) as packed:
            for number in range(part * each, (part + 1) * each):
                image, caption = draw(number)
                kind, buffer = ("jpg", "JPEG") if number % 2 else ("png", "PNG"), io.BytesIO()
                image.save(buffer, kind[1])
                sizes[kind[1]].append(buffer.tell())
                for tar in (plain, packed):
                    add(tar, f"{number:06}.{kind[0]}", buffer.getvalue())
                    add(tar, f"{number:06}.txt", caption.encode())
                talks.append(f"<|start_header_id|>user<|end_header_id|>\n{QUESTION}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n{caption}")
        pyarrow.parquet.write_table(pyarrow.table({"content": talks}), folder / f"{part}.parquet", row_group_size=100)
    (folder / "questions.json").write_text(json.dumps([QUESTION]))
    return {kind: sum(found) / len(found) for kind, found in sizes.items()}


def source(case, folder, flow):
    """The source of the case's files for a flow; None where the flow keeps its own."""
    path = f"{folder}/{{0..{FILES - 1}}}.{case.data}"
    if case.data == "parquet":
        return {"type": "parquet", "path": path, "format": "chat", "workers": case.workers} if flow == "lm_chat" else None
    if case.data is None or flow == "lm_chat":
        return None
    use = {"use": "understanding", "questions": f"{folder}/questions.json"} if flow == "mmu" else {}
    return {"type": "webdataset", "path": path, "workers": case.workers} | use


def configuration(case, folder, out, steps):
    config = json.loads(re.sub(r"(^|\s)//[^\n]*", "", (ROOT / f"configs/train/{case.stage}.json").read_text()))
    config["experiment"] = {"output_dir": str(out / "run"), "log_every": steps // 2, "resume_from_checkpoint": "none"}
    config["training"]["max_train_steps"] = steps
    config["lr_scheduler"] = {"name": "constant"}
    if case.stage == "pocket_image_tokenizer":
        config["dataset"]["source"] = source(case, folder, None) or config["dataset"]["source"]
        return config
    del config["validation"], config["dataset"]["phases"]
    config["model"]["tokenizer"] = str(POCKET / "mmada")
    config["image_tokenizer"]["from"] = str(POCKET / "image_tokenizer")
    for flow in config["dataset"]["flows"]:
        if "masked_words" not in flow:  # which captions do not have
            flow["source"] = source(case, folder, flow["flow"]) or flow["source"]
    return config


def rows(config):
    return sum(flow["rows"] for flow in config["dataset"]["flows"]) if "flows" in config["dataset"] else config["dataset"]["rows"]


def train(program, case, folder, steps):
    """Rows of a step, and [seconds of a step, those of them that waited for data] over its first and its second half."""
    with tempfile.TemporaryDirectory() as out:
        config = configuration(case, folder, pathlib.Path(out), steps)
        path = pathlib.Path(out) / "config.json"
        path.write_text(json.dumps(config))
        flags = ["--nproc", str(case.processes)] if case.processes > 1 else []
        done = subprocess.run([program, "train", "--config", path, *flags], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{case.name}: {done.stderr}")
        with open(out + "/run/metrics.jsonl") as lines:
            entries = [entry for entry in map(json.loads, lines) if "data_time" in entry]
    return rows(config), [(entry["batch_time"], entry["data_time"]) for entry in (entries[0], entries[-1])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", default="", help="runs whose names hold this")
    options = parser.parse_args()
    half = options.steps // 2
    print("# Share of a step that training waits for data\n")
    print(provenance())
    with tempfile.TemporaryDirectory() as folder:
        sizes = write_data(pathlib.Path(folder), options.pictures)
        print(f"* `data_share.py --pictures {options.pictures} --steps {options.steps}`: data_time / batch_time of metrics.jsonl; the configurations of the pocket "
              "model, without its phases, one thread a process")
        print(f"* {options.pictures} pictures of {PIXELS} pixels in {FILES} shards: " +
              ", ".join(f"{kind} of {size / 1024:.0f} KiB" for kind, size in sorted(sizes.items())) + " on average; files in the page cache")
        print("* workers: threads of each of the sources that read files; Parquet holds texts, its run draws its pictures\n")
        print(f"| run | workers | rows or pictures a step | s a step, later | first {half} steps | later {half} |\n|---|---|---|---|---|---|")
        for case in CASES:
            if options.only not in case.name:
                continue
            count, halves = train(options.program.resolve(), case, pathlib.Path(folder), options.steps)
            shares = " | ".join(f"{data / step:.2%}" for step, data in halves)
            print(f"| {case.name} | {case.workers if case.data else '-'} | {count} | {halves[-1][0]:.2f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
