#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`mmada train` on one GPU in bf16, MMaDA-8B's block in five layers: tokens/s, MFU and memory, a dated Markdown table.

    python benchmarks/end_to_end/train_1b.py BUILD/bin/mmada --output benchmarks/results [FIELD=VALUE ...]

train_1b.json says what is trained; FIELD=VALUE changes it. --output names a file or a folder; without it the table goes to stdout.
--device cpu --tiny runs every line in small: that it works, not how fast it is. A run is killed behind its last step, before it would
save its weights. --seconds ends the whole in time; what was not reached is named. Ends with 1 where a line is missing.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = pathlib.Path(__file__).with_suffix(".json")
SIDES = [("none", "fp32"), ("norms_and_swiglu", "fp32"), ("blocks", "fp32"), ("none", "8bit")]
# Dense bf16, as the maker says; the first name that fits.
PEAKS = {"H200": 989.4e12, "H100 PCIe": 756e12, "H100": 989.4e12, "A100": 312e12}
TINY = ["model.architecture.d_model=64", "model.architecture.n_heads=2", "model.architecture.n_kv_heads=2", "model.architecture.n_layers=1",
        "model.architecture.mlp_hidden_size=128", "model.architecture.vocab_size=9216", "dataset.flows.0.rows=2", "dataset.flows.0.length=48",
        "dataset.max_seq_length=32", "threads=1"]


class Missing(Exception):
    """Why there is no measurement."""


def steps_of(path):
    """The whole lines so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]


def train(program, overrides, steps, run, deadline):
    """Lines of the metrics of so many steps."""
    command = [program, "train", "--config", CONFIG, f"experiment.output_dir={run}", f"training.max_train_steps={steps + 100}", *overrides]
    with open(run.with_suffix(".log"), "w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)
        try:
            while process.poll() is None and time.monotonic() < deadline and len(steps_of(run / "metrics.jsonl")) < steps:
                time.sleep(0.05)
            ended = process.poll()
        finally:
            process.kill()
            process.wait()
        lines = steps_of(run / "metrics.jsonl")[:steps]
        if len(lines) == steps:
            return lines
        log.seek(0)
        said = log.read().strip().splitlines() or ["nothing said"]
    raise Missing(f"out of time behind step {len(lines)}" if ended is None else f"ended with {ended}: {said[-1][:160]}")


def line_of(recompute, moments, lines):
    if any(line["skipped_step"] for line in lines):
        raise Missing("steps were skipped: a loss or a gradient was not finite")
    seconds = sum(line["batch_time"] for line in lines)
    mean = lambda name: sum(line[name] * line["batch_time"] for line in lines) / seconds
    mfu = f"{mean('mfu(%)'):.1f} %" if "mfu(%)" in lines[0] else "peak unknown"
    return (f"| {recompute} | {moments} | {statistics.median(line['batch_time'] for line in lines):.3f} | {mean('throughput(tps)'):.0f} | "
            f"{mean('tflops'):.1f} | {mfu} | {sum(line['data_time'] for line in lines) / seconds:.1%} | {lines[-1]['memory/max_active(GiB)']:.1f} |")


def device_name(device):
    return torch.cuda.get_device_name(0) if device == "cuda" else f"{platform.processor() or platform.machine()} CPU"


def peak_of(name):
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def shape_text(config):
    sizes = config["model"]["architecture"]
    d, hidden, layers, words = (sizes[key] for key in ("d_model", "mlp_hidden_size", "n_layers", "vocab_size"))
    blocks = layers * (2 * d * d + 2 * d * d * sizes["n_kv_heads"] // sizes["n_heads"] + 3 * d * hidden + 2 * d)
    rows = ", ".join(f"{flow['rows']} rows x {flow['length']} tokens" for flow in config["dataset"]["flows"])
    return [f"* {layers} layers, d_model {d}, {sizes['n_heads']} heads, MLP {hidden}, vocabulary {words}: {blocks / 1e9:.2f} billion parameters in blocks, "
            f"{2 * words * d / 1e9:.2f} in embedding and head, {(blocks + 2 * words * d + d) / 1e9:.2f} in all",
            f"* {rows}, {config['training']['gradient_accumulation_steps']} times a step; {config['dtype']} products, fp32 masters and gradients"]


def report(options, name, config, table, missing):
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip() or "unknown"
    text = [f"# Training, 1B in blocks, on one {name}", ""]
    if options.tiny:
        text += ["**Not a measurement**: a tiny model, to see that every line runs.", ""]
    text += [f"* {datetime.date.today()}, commit {commit}, torch {torch.__version__}, CUDA {torch.version.cuda}, {os.cpu_count()} cores",
             f"* {' '.join(['`train_1b.py', *options.overrides])}`, each line: {options.steps} steps, the first {options.skip} left out; rates over all the others"]
    text += shape_text(config) if config else []
    text += [f"* MFU against {options.peak_flops / 1e12:.1f} TFLOP/s, of what a step needs: the head at masked positions alone, nothing computed anew"
             if options.peak_flops else "* MFU: this device's peak is not known (--peak-flops)",
             "* memory: the most that tensors held at once" if options.device == "cuda" else "* memory: of the process"]
    text += ["", "| recompute | moments of AdamW | median s a step | tokens/s | TFLOP/s | MFU | waits for data | peak GiB |", "|---|---|---|---|---|---|---|---|", *table]
    if missing:
        text += ["", "Not measured:", "", *[f"* {reason}" for reason in missing]]
    return "\n".join(text) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("overrides", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--skip", type=int, default=5, help="steps left out at the beginning")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--peak-flops", type=float, help="of the device, FLOP/s (default: known for H200, H100 and A100)")
    parser.add_argument("--output")
    options = parser.parse_intermixed_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("train_1b: found no CUDA device, expected one (--device cpu --tiny runs without)", file=sys.stderr)
        return 1
    deadline, name = time.monotonic() + options.seconds, device_name(options.device)
    if options.peak_flops is None:
        options.peak_flops = peak_of(name)
    common = [f"device={options.device}", f"training.peak_flops={options.peak_flops}", *(TINY if options.tiny else []), *options.overrides]
    output = pathlib.Path(options.output) if options.output else None
    if output and output.is_dir():
        output = output / f"{datetime.date.today()}-train-1b.md"
    config, table, missing = None, [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, (recompute, moments) in enumerate(SIDES):
            run = pathlib.Path(folder, f"run-{i}")
            try:
                lines = train(options.program.resolve(), [*common, f"sharding.recompute={recompute}", f"optimizer.moments={moments}"], options.steps, run, deadline)
                config = config or json.loads((run / "config.json").read_text())
                table.append(line_of(recompute, moments, lines[options.skip:]))
                print(table[-1], file=sys.stderr, flush=True)
            except Missing as reason:
                missing.append(f"recompute {recompute}, moments {moments}: {reason}")
                print(missing[-1], file=sys.stderr, flush=True)
            if output:  # at once: who started this may end it
                output.write_text(report(options, name, config, table, missing))
    if output:
        print(f"train_1b: wrote {output}", file=sys.stderr)
    else:
        print(report(options, name, config, table, missing), end="")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
