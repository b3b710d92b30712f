#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Registers, stack, shared memory and occupancy of every CUDA kernel in a built libmmada_cuda.so: a Markdown table.

    benchmarks/kernels/resources.py build/tests/mmada/libmmada_cuda.so [--arch 80 90a 100] [--beside RESULT.md]

Takes seconds and no GPU. Ends with 1 when a kernel spills or uses local memory. --beside says on stderr what differs from a
committed table: a change to look at, not a failure.
"""
import argparse
import pathlib
import sys

import cubins

# Per multiprocessor: bytes of shared memory; registers, threads and blocks are the same on all three.
SHARED = {"80": 164 << 10, "90a": 228 << 10, "100": 228 << 10}
REGISTERS, THREADS, BLOCKS, SHARED_PER_BLOCK = 65536, 2048, 32, 1 << 10
ATTENTION = {"forward_kernel", "combine_kernel", "key_gradient_kernel", "query_gradient_kernel", "delta_kernel"}
HEAD = ["| kernel | for | sm | registers | stack, bytes | shared, bytes | blocks per multiprocessor |", "|---|---|---|---|---|---|---|"]


def shared_bytes(kernel):
    """Dynamic shared memory of a launch, as the host code computes it."""
    row, walk = kernel.width * 2, 64 if kernel.width == 64 else 32
    return {
        "forward_kernel": 5 * 64 * row,
        "query_gradient_kernel": (2 * 64 + 4 * walk) * row,
        "key_gradient_kernel": 2 * 64 * row + 2 * walk * (2 * row + 8),
        "moments_kernel": 256 * 16,
        "adamw_kernel": 3136,
        "rms_norm_kernel": 32,
        "rms_norm_backward_kernel": 32,
        "statistics_kernel": 8 * 32,
    }.get(kernel.name, 0)


def occupancy(arch, registers, shared, threads):
    warps = threads // 32
    per_warp = -(-registers * 32 // 256) * 256
    by_registers = REGISTERS // 4 // per_warp * 4 // warps
    by_shared = SHARED[arch] // (shared + SHARED_PER_BLOCK)
    return min(by_registers, by_shared, THREADS // threads, BLOCKS)


def rows(library, architectures):
    """(line of the table, whether it spills), sorted by kernel."""
    for arch in architectures:
        for kernel, used in sorted(cubins.resources(library, arch).items()):
            shared = shared_bytes(kernel)
            blocks = occupancy(arch, used.registers, shared, 128 if kernel.name in ATTENTION else 256)
            yield (f"| {kernel.name} | {kernel.arguments} | {arch} | {used.registers} | {used.stack + used.local} | {shared} | {blocks} |",
                   used.stack + used.local > 0)


def report_changes(lines, committed):
    before = [line for line in committed.read_text().splitlines() if line.startswith("| ") and line not in HEAD]
    gone, new = [x for x in before if x not in lines], [x for x in lines if x not in before]
    for sign, changed in (("-", gone), ("+", new)):
        for line in changed:
            print(f"{sign} {line}", file=sys.stderr)
    print(f"resources: {len(new)} of {len(lines)} kernels differ from {committed.name}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("--arch", nargs="+", default=list(SHARED), choices=list(SHARED))
    parser.add_argument("--beside", type=pathlib.Path)
    arguments = parser.parse_args()
    table = list(rows(arguments.library, arguments.arch))
    print("\n".join(HEAD + [line for line, _ in table]))
    if arguments.beside:
        report_changes([line for line, _ in table], arguments.beside)
    return 1 if any(spills for _, spills in table) or not table else 0


if __name__ == "__main__":
    sys.exit(main())
