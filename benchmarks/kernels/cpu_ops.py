#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ops of the transformer on this CPU: each kernel of this project beside the same formula made of ATen's operators, in turns.

    PYTHONPATH=examples/python benchmarks/kernels/cpu_ops.py [--threads 1] [--rounds 15] [--shapes pocket 8B] [--output RESULT.md]

A ratio above 1 says that ATen takes longer. The table decides which of the two an op uses on CPUs. Attention has no kernel of this
project for CPUs: its op calls ATen's fused one, which stands here beside ATen's two products and softmax. Times are those of the process
on its CPU, so that others on the machine disturb them little; with several threads they are the threads' sum.
"""
import argparse
import datetime
import itertools
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

import mmada

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPS = torch.ops.mmada
# Rows, width, hidden width, heads, width of a head: the pocket model's, and some rows of MMaDA-8B's.
SHAPES = {"pocket": (512, 256, 704, 8, 32), "8B": (256, 4096, 12288, 32, 128)}


def aten_norm(x, residual, weight, eps=1e-5):
    """One reduction over x and no fp32 copy of it."""
    total = x if residual is None else x + residual
    inverse = torch.linalg.vector_norm(total, 2, -1, True, dtype=torch.float32)
    inverse.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return torch.mul(total, inverse).to(x.dtype).mul_(weight), total, inverse


def aten_norm_backward(dout, dsum, x, weight, inverse):
    normed = torch.mul(x, inverse)
    product = torch.mul(dout, normed)
    dweight = product.sum(0).to(weight.dtype)
    inner = torch.mv(product, weight.to(product.dtype)).div_(x.shape[-1]).unsqueeze_(1)
    dx = product.copy_(dout).mul_(weight).addcmul_(normed, inner, value=-1).mul_(inverse).to(x.dtype)
    return dx if dsum is None else dx.add_(dsum), dweight


def aten_rope(x, cos, sin):
    half = x.shape[-1] // 2
    wide, cos, sin = x.float(), cos.unsqueeze(-2), sin.unsqueeze(-2)
    out, (a, b) = torch.empty_like(wide), wide.split(half, -1)
    out_a, out_b = out.split(half, -1)
    torch.mul(a, cos, out=out_a).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=out_b).addcmul_(a, sin)
    return out.to(x.dtype)


def aten_swiglu_backward(dout, gate, up):
    dup = F.silu(gate).mul_(dout)
    return torch.ops.aten.silu_backward(torch.mul(dout, up), gate), dup


def cases(dtype, shape):
    """(name, ours, ATen's), both giving what is to be the same."""
    rows, width, hidden, heads, head = SHAPES[shape]
    generator = torch.Generator().manual_seed(1)

    def make(*size):
        return torch.randn(*size, generator=generator).to(dtype)

    x, residual, dout, dsum, weight = make(rows, width), make(rows, width), make(rows, width), make(rows, width), make(width)
    inverse = aten_norm(x, None, weight)[2]
    yield "RMSNorm", lambda: OPS.rms_norm_forward(x, None, weight, 1e-5)[0], lambda: aten_norm(x, None, weight)[0]
    yield "residual + RMSNorm", lambda: OPS.rms_norm_forward(x, residual, weight, 1e-5)[0], lambda: aten_norm(x, residual, weight)[0]
    yield ("RMSNorm backward", lambda: OPS.rms_norm_backward(dout, None, x, weight, inverse)[0],
           lambda: aten_norm_backward(dout, None, x, weight, inverse)[0])
    yield ("residual + RMSNorm backward", lambda: OPS.rms_norm_backward(dout, dsum, x, weight, inverse)[0],
           lambda: aten_norm_backward(dout, dsum, x, weight, inverse)[0])
    q, k = make(1, rows, heads, head), make(1, rows, heads, head)
    angles = torch.outer(torch.arange(rows), 500000.0 ** (-torch.arange(head // 2) / (head // 2)))
    cos, sin = angles.cos(), angles.sin()
    yield ("RoPE of q and k (backward alike)", lambda: OPS.rope(q, k, cos, sin, None, False)[0],
           lambda: (aten_rope(q, cos, sin), aten_rope(k, cos, sin))[0])
    gate, up, dh = make(rows, hidden), make(rows, hidden), make(rows, hidden)
    yield "SwiGLU", lambda: OPS.swiglu(gate, up), lambda: F.silu(gate).mul_(up)
    yield "SwiGLU backward", lambda: OPS.swiglu_backward(dh, gate, up)[0], lambda: aten_swiglu_backward(dh, gate, up)[0]


def optimizer_cases(shape):
    """The steps change their weights; what is compared is the first."""
    rows, width, *_ = SHAPES[shape]
    generator = torch.Generator().manual_seed(3)
    grad = torch.randn(rows * width, generator=generator)
    sides = [torch.zeros(rows * width) for _ in range(2)]
    codes, scales = [torch.zeros(rows * width, dtype=torch.uint8) for _ in range(2)], [torch.zeros((rows * width + 255) // 256) for _ in range(2)]
    moments, step = [torch.zeros(rows * width) for _ in range(2)], torch.ones(())

    def ours():
        mmada.adamw_8bit_(sides[0], grad, *codes, *scales, learning_rate=0.01)
        return sides[0]

    def aten():
        torch._fused_adamw_([sides[1]], [grad], [moments[0]], [moments[1]], [], [step], lr=0.01, beta1=0.9, beta2=0.999, weight_decay=0.0,
                            eps=1e-8, amsgrad=False, maximize=False)
        return sides[1]

    yield "AdamW, moments in 8 bits (beside it: in 32)", ours, aten


def plain_attention(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(-1).matmul(v).transpose(1, 2)


def attention_cases(dtype, shape):
    rows, _, _, heads, head = SHAPES[shape]
    generator = torch.Generator().manual_seed(2)
    q, k, v, dout = (torch.randn(1, rows, heads, head, generator=generator).to(dtype) for _ in range(4))
    yield "attention (ATen fused; beside it: products, softmax)", lambda: mmada.attention(q, k, v).out, lambda: plain_attention(q, k, v)
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    with torch.enable_grad():
        fused, plain = mmada.attention(*leaves).out, plain_attention(*leaves)
    yield ("attention backward (likewise)", lambda: torch.autograd.grad(fused, leaves, dout, retain_graph=True)[0],
           lambda: torch.autograd.grad(plain, leaves, dout, retain_graph=True)[0])


def seconds(call, repeats):
    begin = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - begin) / repeats


@torch.no_grad()
def measured(rounds, dtype, shape):
    optimizer = optimizer_cases(shape) if dtype == torch.float32 else ()
    for name, ours, aten in itertools.chain(cases(dtype, shape), attention_cases(dtype, shape), optimizer):
        a, b = ours().float(), aten().float()
        error = ((a - b).abs().max() / b.abs().max()).item()
        if not error < (1e-5 if dtype == torch.float32 else 3e-2):
            sys.exit(f"cpu_ops: {name}, {shape}, {dtype}: the two differ by {error:.1e} of the largest value")
        repeats = max(1, int(0.01 / seconds(aten, 2)))
        times = {ours: [], aten: []}
        for _ in range(rounds):
            for call in times:
                times[call].append(seconds(call, repeats))
        mine, theirs = (statistics.median(times[call]) for call in (ours, aten))
        ratio = statistics.median(t / m for m, t in zip(times[ours], times[aten]))
        type_name = str(dtype).removeprefix("torch.")
        yield f"| {name} | {shape} | {type_name} | {mine * 1e6:.0f} | {theirs * 1e6:.0f} | {ratio:.2f} |"


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--output")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0]
    lines = []
    for shape in arguments.shapes:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for line in measured(arguments.rounds, dtype, shape):
                print(line, file=sys.stderr, flush=True)
                lines.append(line)
    shapes = "; ".join(f"{n}: {r} rows of {w}, hidden {h}, {c} heads of {d}" for n, (r, w, h, c, d) in SHAPES.items() if n in arguments.shapes)
    text = "\n".join([
        f"# Ops of the transformer on a CPU, {arguments.threads} thread(s)", "",
        f"* {datetime.date.today()}, commit {commit}, torch {torch.__version__}, {cpu_name()}, {os.cpu_count()} cores, load average "
        f"{load:.1f} before and {os.getloadavg()[0]:.1f} after (others were at work on the machine), {platform.system()}",
        f"* `benchmarks/kernels/{' '.join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])}`: CPU time, median of {arguments.rounds} rounds, in each both one after the other",
        f"* {shapes}",
        "* ratio: median over the rounds of ATen's time by this project's; above 1 the op takes less", "",
        "| op | shape | type | op us | ATen us | ratio |", "|---|---|---|---|---|---|", *lines, ""])
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
