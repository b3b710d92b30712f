#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A whole training step, forward, backward, clipping and AdamW, against the same in plain PyTorch, fp32 on a CPU.

    python benchmarks/end_to_end/train_step.py BUILD/bin/bench_train_step [--rounds 8] [--threads 2] [--vocabulary 134656]
        > benchmarks/results/DATE-train-step.md

Same weights, batch and mathematics; half of the positions are masked. PyTorch makes logits of every position and picks these, as the
published trainer and a plain training step do; or, a second side, of these alone, as we do. Each side is a process of its own; they take turns, one step at a time, so that other work on the machine meets all of them. Memory is what a
process ever held beyond what it held before there was a model.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from measuring import block_matrices, memory_bytes, provenance, write_checkpoint

ROWS, TOKENS, WIDTH, LAYERS = 28, 107, 192, 6
HIDDEN = WIDTH * 8 // 3 // 64 * 64
MATRICES = block_matrices(WIDTH, HIDDEN)
OURS = ("none", "norms_and_swiglu", "blocks")
EVERY, MASKED = "PyTorch, logits of every position", "PyTorch, of the masked ones"


def write_inputs(folder, vocabulary):
    torch.manual_seed(1)
    head = torch.randn(vocabulary, WIDTH) * WIDTH ** -0.5
    write_checkpoint(folder, vocabulary, WIDTH, LAYERS, WIDTH // 64, HIDDEN, head, vocabulary - 1)
    positions = torch.arange(0, ROWS * TOKENS, 2)
    save_file({"ids": torch.randint(vocabulary, (ROWS, TOKENS)), "positions": positions,
               "targets": torch.randint(vocabulary, (len(positions),))}, folder / "in.safetensors")


class Plain:
    def __init__(self, folder, every_position):
        self.every_position = every_position
        self.weights = {name.removeprefix("model.transformer."): tensor.requires_grad_(True)
                        for name, tensor in load_file(folder / "model.safetensors").items()}
        self.x = load_file(folder / "in.safetensors")
        angles = torch.outer(torch.arange(TOKENS).float(), 500000.0 ** (-torch.arange(0, 64, 2) / 64)).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01, fused=True)

    def norm(self, x, name):
        return F.rms_norm(x, (WIDTH,), self.weights[name + ".weight"], 1e-5)

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"])

    def block(self, x, name):
        def heads(t):
            return t.view(ROWS, TOKENS, -1, 64).transpose(1, 2)

        def rope(t):
            a, b = t.chunk(2, -1)
            return t * self.cos + torch.cat([-b, a], -1) * self.sin

        h = self.norm(x, name + ".attn_norm")
        q, k, v = (heads(self.linear(h, f"{name}.{letter}_proj")) for letter in "qkv")
        mixed = F.scaled_dot_product_attention(rope(q), rope(k), v)
        x = x + self.linear(mixed.transpose(1, 2).flatten(2), name + ".attn_out")
        y = self.norm(x, name + ".ff_norm")
        return x + self.linear(F.silu(self.linear(y, name + ".ff_proj")) * self.linear(y, name + ".up_proj"), name + ".ff_out")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        x = F.embedding(self.x["ids"], self.weights["wte.weight"])
        for i in range(LAYERS):
            x = self.block(x, f"blocks.{i}")
        x, positions = x.flatten(0, 1), self.x["positions"]
        if self.every_position:
            logits = self.linear(self.norm(x, "ln_f"), "ff_out")
            loss = F.cross_entropy(logits[positions], self.x["targets"])
        else:
            logits = self.linear(self.norm(x[positions], "ln_f"), "ff_out")
            loss = F.cross_entropy(logits, self.x["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimizer.step()
        return loss.item()


def serve(folder, threads, every_position):
    torch.set_num_threads(threads)
    before = memory_bytes("VmRSS")
    plain = Plain(folder, every_position)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = plain.step()
        print(f"{time.perf_counter() - start:.6f} {loss:.6f}", flush=True)
    print(memory_bytes("VmHWM") - before)


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.seconds, self.losses = [], []

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        seconds, loss = map(float, self.process.stdout.readline().split())
        self.seconds.append(seconds)
        self.losses.append(loss)

    def close(self):
        out, _ = self.process.communicate()
        self.memory = int(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=134656)
    parser.add_argument("--plain", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--every-position", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        return serve(options.plain, options.threads, options.every_position)
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(pathlib.Path(folder), options.vocabulary)
        plain = [sys.executable, __file__, options.program, "--plain", folder, "--threads", str(options.threads)]
        sides = {EVERY: Side([*plain, "--every-position"]), MASKED: Side(plain)}
        for recompute in OURS:
            sides[f"ours, recompute {recompute}"] = Side([options.program, folder, str(options.threads), recompute])
        for _ in range(options.rounds + 1):
            for side in sides.values():
                side.step()
        for side in sides.values():
            side.close()
    every, plain = sides[EVERY], sides[MASKED]
    for side in sides.values():
        assert all(abs(a - b) < 2e-3 * abs(b) for a, b in zip(side.losses, plain.losses)), (side.losses, plain.losses)
    print(f"# Training step, vocabulary {options.vocabulary}, d {WIDTH}, {LAYERS} layers, {ROWS} x {TOKENS} tokens, half masked, "
          f"fp32, {options.threads} threads, CPU\n")
    print(provenance())
    print(f"* `train_step.py --rounds {options.rounds} --threads {options.threads} --vocabulary {options.vocabulary}`: the sides taking "
          "turns; losses agree")
    parameters = 2 * options.vocabulary * WIDTH + LAYERS * (sum(a * b for a, b in MATRICES.values()) + 2 * WIDTH) + WIDTH
    state = 16 * parameters  # weights, gradients and two moments, which every side keeps
    print(f"* weights, gradients and moments: {state / 2**20:.0f} MiB on every side; beyond: what is left of the memory without them")
    print("* ratios: the figure of PyTorch with logits of every position, and behind the slash of the masked ones, in that of the side "
          "(speed by best and median step, memory, memory beyond)\n")
    print("| side | best s | median s | tokens/s | memory MiB | beyond | best | median | memory | beyond |\n"
          "|---|---|---|---|---|---|---|---|---|---|")
    ratios = lambda digits, of: " / ".join(f"{of(other) / of(side):.{digits}f}" for other in (every, plain))
    median = lambda side: statistics.median(side.seconds[1:])
    for name, side in sides.items():
        best = min(side.seconds[1:])
        print(f"| {name} | {best:.3f} | {median(side):.3f} | {ROWS * TOKENS / best:.0f} | {side.memory / 2**20:.0f} | "
              f"{(side.memory - state) / 2**20:.0f} | {ratios(2, lambda x: min(x.seconds[1:]))} | {ratios(2, median)} | "
              f"{ratios(1, lambda x: x.memory)} | {ratios(1, lambda x: x.memory - state)} |")


if __name__ == "__main__":
    main()
