#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Registers, spills, shared memory and occupancy of every CUDA kernel, as ptxas reports them: a Markdown table.

    CUDACXX=nvcc benchmarks/kernels/resources.py [--arch 80 90a 100] [FILE.cu ...]

Needs the CUDA compiler, no GPU. Ends with 1 when a kernel spills or uses local memory.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Per multiprocessor: bytes of shared memory; registers, threads and blocks are the same on all three.
SHARED = {"80": 164 << 10, "90a": 228 << 10, "100": 228 << 10}
REGISTERS, THREADS, BLOCKS, SHARED_PER_BLOCK = 65536, 2048, 32, 1 << 10


def shared_bytes(kernel, width):
    """Dynamic shared memory of a launch, as the host code computes it."""
    row, walk = width * 2, 64 if width == 64 else 32
    return {
        "forward_kernel": 5 * 64 * row,
        "query_gradient_kernel": (2 * 64 + 4 * walk) * row,
        "key_gradient_kernel": 2 * 64 * row + 2 * walk * (2 * row + 8),
        "moments_kernel": 256 * 16,
        "rms_norm_kernel": 32,
        "rms_norm_backward_kernel": 32,
    }.get(kernel, 0)


def occupancy(arch, registers, shared, threads):
    warps = threads // 32
    per_warp = -(-registers * 32 // 256) * 256
    by_registers = REGISTERS // 4 // per_warp * 4 // warps
    by_shared = SHARED[arch] // (shared + SHARED_PER_BLOCK)
    return min(by_registers, by_shared, THREADS // threads, BLOCKS)


def kernels_of(nvcc, arch, source):
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", f"-I{ROOT}", "-c", str(source), "-o", f"{folder}/x.o", "-Xptxas=-v",
                   f"-gencode=arch=compute_{arch},code=sm_{arch}"]
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    pattern = r"Compiling entry function '(\S+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores.*?Used (\d+) registers"
    for name, stack, spills, registers in re.findall(pattern, log, re.DOTALL):
        yield name, int(stack) + int(spills), int(registers)


def readable(mangled):
    """(kernel, template arguments, head width or 0) of a mangled name: enough for this project's kernels."""
    kernel = re.findall(r"\d([a-z_]+_kernel)", mangled)[-1]
    kernel = kernel.lstrip("_")
    arguments = re.search(r"_kernelI(.*?)EEv", mangled)
    text = arguments.group(1) if arguments else ""
    types = re.findall(r"13__nv_bfloat16|6__half|^f", text)
    names = {"13__nv_bfloat16": "bf16", "6__half": "fp16", "f": "fp32"}
    numbers = re.findall(r"Li(\d+)", text)
    width = int(numbers[0]) if numbers else 0
    return kernel, ", ".join([names[t] for t in types] + numbers), width


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=list(SHARED), choices=list(SHARED))
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    files = arguments.files or sorted((ROOT / "kernels").glob("*/*.cu"))
    spilled = False
    print("| kernel | for | sm | registers | stack + spills, bytes | shared, bytes | blocks per multiprocessor |")
    print("|---|---|---|---|---|---|---|")
    for source in files:
        threads = 128 if "attention" in source.parts else 256
        for arch in arguments.arch:
            for name, spills, registers in sorted(kernels_of(os.environ.get("CUDACXX", "nvcc"), arch, source.resolve())):
                kernel, template, width = readable(name)
                shared = shared_bytes(kernel, width)
                blocks = occupancy(arch, registers, shared, threads)
                print(f"| {kernel} | {template} | {arch} | {registers} | {spills} | {shared} | {blocks} |", flush=True)
                spilled |= spills > 0
    return 1 if spilled else 0


if __name__ == "__main__":
    sys.exit(main())
