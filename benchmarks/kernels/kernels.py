#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kernel on this machine's GPU beside its rivals, at MMaDA-8B's shapes: a dated Markdown table.

    PYTHONPATH=examples/python benchmarks/kernels/kernels.py --output benchmarks/results

--output names a file or a folder; without it the table goes to stdout. --device cpu --tiny runs every line at small shapes: that
it works, not how fast it is. Ends with 0 whether or not the bars are met: the table says so.
"""
import argparse
import datetime
import os
import pathlib
import platform
import subprocess
import sys

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
from measure import Roofs, Timer, meets, rate  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEVER = ("wgmma/TMA attention (no such entry yet)", "the denoising step as one CUDA graph", "several GPUs",
         "PyTorch's own kernels after torch.compile")


def measured(case, timer, roofs, with_bars):
    """Lines of the table, and what could not be measured."""
    lines, failed, own = [], [], None
    for name, call in {"this project": case.ours, **case.rivals}.items():
        try:
            seconds = timer.seconds(call)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            failed.append(f"{case.name}: {name}: {str(error).splitlines()[0][:160]}")
            continue
        text, share = rate(case, seconds, roofs)
        own = own or (seconds if call is case.ours else None)
        ratio = "" if own is None or call is case.ours else f"{seconds / own:.2f}"
        reached = meets(case, seconds, roofs) if with_bars and call is case.ours else None
        bar = "" if reached is None else f"{case.bar}: {'met' if reached else 'missed'}"
        lines.append(f"| {case.name} | {name} | {seconds * 1e6:.1f} | {text} | {share:.0%} | {ratio} | {bar} |")
    return lines, failed


def commit():
    result = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.processor() or platform.machine()} CPU"


def report(arguments, device, roofs, lines, failed):
    name = device_name(device)
    text = [f"# Kernels on {name}", ""]
    if arguments.tiny:
        text += ["**Not a measurement**: tiny shapes, to see that every line runs.", ""]
    text += [f"* {datetime.date.today()}, commit {commit()}, torch {torch.__version__}, CUDA {torch.version.cuda}",
             f"* `{' '.join(['benchmarks/kernels/kernels.py', *sys.argv[1:]])}`; median of {arguments.repeats} calls, caches overwritten before each",
             f"* roofs measured in this run: copy {roofs.copy / 1e9:.0f} GB/s, product of two large matrices {roofs.product / 1e12:.1f} TFLOP/s"]
    if "H100" not in name:
        text += ["* the bars are for an H100: here they are for orientation only"]
    text += ["", "| kernel | by | us | rate | of the roof | x this project's time | bar |", "|---|---|---|---|---|---|---|", *lines, "",
             "Not measured:", "", *[f"* {reason}" for reason in (*failed, *NEVER)], ""]
    return "\n".join(text)


def write(text, output, device):
    if output is None:
        print(text)
        return
    path = pathlib.Path(output)
    if path.is_dir():
        gpu = device_name(device).lower().replace("nvidia ", "").replace(" ", "-")
        path = path / f"{datetime.date.today()}-kernels-{gpu}.md"
    path.write_text(text)
    print(f"kernels: wrote {path}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--repeats", type=int, default=0, help="calls per line (default 30, tiny 1)")
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (1 if arguments.tiny else 30)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("kernels: found no CUDA device, expected one (--device cpu --tiny runs without)", file=sys.stderr)
        return 1
    device = torch.device(arguments.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    timer = Timer(device, arguments.repeats, 1 << (16 if arguments.tiny else 29))
    roofs = Roofs.of(timer, device, dtype, 1 << (12 if arguments.tiny else 28), 64 if arguments.tiny else 8192)
    lines, failed = [], []
    for group in cases.ALL:
        for case in group(cases.Maker(device, dtype), cases.TINY if arguments.tiny else cases.Shapes()):
            if arguments.only in case.name:
                more, missing = measured(case, timer, roofs, not arguments.tiny)
                lines += more
                failed += missing
                print("\n".join(more), file=sys.stderr, flush=True)
    write(report(arguments, device, roofs, lines, failed), arguments.output, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
