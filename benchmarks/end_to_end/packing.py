#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Packed rows against padded ones: positions computed and time of a training step, on texts as long as chains of thought are.

    python benchmarks/end_to_end/packing.py BUILD/bin/mmada [--rounds 3] [--threads 2] > benchmarks/results/DATE-packing.md

Answers have log-normal lengths (median 300 tokens, sigma 0.7), cut at the rows' 1024: a model of long reasoning, not a data set's count.
The runs take turns; every one of them trains the same rows in the same order.
"""
import argparse
import json
import pathlib
import random
import subprocess
import tempfile

from measuring import provenance

LENGTH, ROWS, STEPS, MEDIAN, SIGMA = 1024, 8, 8, 300, 0.7
SIDES = {"padded, padding learned (as published)": (False, -1),
         "padded, padding hidden": (False, 0),
         "packed, 16 eos learned": (True, 16),
         "packed": (True, 0)}


def write_inputs(program, folder):
    texts = random.Random(1)
    words = "first second then count sum take half of the red blue green circle square and add to it".split()
    chat = "<|start_header_id|>user<|end_header_id|>\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
    with open(folder / "texts.jsonl", "w") as lines:
        for _ in range(400):
            count = int(texts.lognormvariate(0, SIGMA) * MEDIAN)
            text = chat.format(" ".join(texts.choices(words, k=20))) + " ".join(texts.choices(words, k=count))
            lines.write(json.dumps({"text": text}) + "\n")
    source = {"type": "jsonl", "path": str(folder / "texts.jsonl")}
    tokenizer = {"task": "text_tokenizer", "experiment": {"output_dir": str(folder / "text")}, "tokenizer": {"vocab_size": 400},
                 "dataset": {"texts": [{"samples": 100, "source": source}]}}
    run = {"task": "transformer", "experiment": {"log_every": STEPS},
           "model": {"tokenizer": str(folder / "text"),
                     "architecture": {"d_model": 192, "n_heads": 3, "n_kv_heads": 3, "n_layers": 6, "mlp_hidden_size": 512, "max_sequence_length": LENGTH}},
           "dataset": {"max_seq_length": 128, "flows": [{"flow": "lm_chat", "rows": ROWS, "length": LENGTH, "source": source}]},
           "training": {"max_train_steps": STEPS}}
    for name, config in {"text": tokenizer, "run": run}.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    subprocess.run([program, "train", "--config", folder / "text.json"], check=True, capture_output=True)


def train(options, folder, name, packed, tail):
    out = folder / name
    subprocess.run([options.program, "train", "--config", folder / "run.json", f"experiment.output_dir={out}", "experiment.resume_from_checkpoint=none",
                    f"threads={options.threads}", f"dataset.packed={str(packed).lower()}", f"dataset.supervised_eos_tail={tail}"], check=True, capture_output=True)
    with open(out / "metrics.jsonl") as lines:
        return json.loads(lines.readlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    found = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(options.program, pathlib.Path(folder))
        for _ in range(options.rounds):
            for name, side in SIDES.items():
                found[name].append(train(options, pathlib.Path(folder), name.replace(" ", "_").replace(",", ""), *side))
    print(f"# Packed rows, {ROWS} rows of up to {LENGTH} tokens, d 192, 6 layers, fp32, {options.threads} threads, CPU\n")
    print(provenance())
    print(f"* `packing.py --rounds {options.rounds} --threads {options.threads}`: {STEPS} steps a run, the runs taking turns; answers' lengths "
          f"log-normal, median {MEDIAN}, sigma {SIGMA}")
    print("* saved: share of the rows' positions that were not computed; ratio: rows/s (best of the rounds) over those of the first line\n")
    print("| rows | loss | saved | rows/s | ratio |\n|---|---|---|---|---|")
    rate = lambda entries: max(entry["samples/sec/gpu"] for entry in entries)
    base = rate(found[next(iter(SIDES))])
    for name, entries in found.items():
        print(f"| {name} | {entries[0]['loss']:.4f} | {entries[0]['padding_saved']:.0%} | {rate(entries):.2f} | {rate(entries) / base:.2f} |")


if __name__ == "__main__":
    main()
