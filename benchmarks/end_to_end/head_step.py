#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The head and what follows it, against the same mathematics in plain PyTorch, fp32 on a CPU.

    python benchmarks/end_to_end/head_step.py BUILD/bin/bench_head_step [--rounds 10] [--threads 2] [--cases text image ...]
        > benchmarks/results/DATE-head.md

Two rivals: (i) the published procedure, all rows and all columns and an fp64 softmax; (ii) PyTorch that slices the needed rows
and columns first, in fp32. Each side is a process of its own; they take turns, one step at a time, so that other work on the
machine meets all of them. Reported are best and median wall time, the most memory a step added, and their ratios.
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

from measuring import memory_bytes, provenance, write_checkpoint

VOCABULARY, TEXT, CODES, MASK, WIDTH = 134656, 126349, 8192, 126336, 256
LAYERS, HEADS, HIDDEN = 4, 4, 1024
CASES = ("text", "image", "logprobs", "t2i")
TITLES = {
    "text": "text step: head + selection, 128 candidates of a row of 1612",
    "image": "image step: head + selection, guided, 1024 tokens",
    "logprobs": "masked_token_logprobs forward + backward, 2048 rows, half masked",
    "t2i": f"whole guided t2i step, {LAYERS} layers, 1024 tokens",
}


def inputs(case):
    """in.safetensors of a case; hidden states as a norm leaves them, a head that gives logits of standard deviation 2."""
    tensors = {"head": torch.randn(VOCABULARY, WIDTH) * (2 / WIDTH**0.5)}
    if case == "text":
        tensors |= {"hidden": torch.randn(1612, WIDTH), "positions": torch.arange(1300, 1428),
                    "banned": torch.tensor([MASK]), "window": torch.tensor([TEXT])}
    elif case == "logprobs":
        tensors |= {"hidden": torch.randn(2048, WIDTH), "positions": torch.arange(0, 2048, 2),
                    "targets": torch.randint(VOCABULARY, (1024,))}
    else:
        length, text = 513 + 1 + 1024 + 1, 513
        ids = torch.randint(TEXT, (2, length))
        ids[:, text + 1:text + 1025] = MASK
        tensors |= {"hidden": torch.randn(2, length, WIDTH), "positions": torch.arange(text + 1, text + 1025), "ids": ids,
                    "begins": torch.tensor([480, 510]), "first_code": torch.tensor([TEXT]), "codes": torch.tensor([CODES]),
                    "guidance": torch.tensor([3.5]), "temperature": torch.tensor([1.0])}
    return tensors


class Plain:
    """A case in PyTorch: everything() as published, sliced() after taking the rows and columns that are needed."""

    def __init__(self, case, folder):
        self.case, self.x = case, load_file(folder / "in.safetensors")
        if case == "t2i":
            self.weights = {k.removeprefix("model.transformer."): v for k, v in load_file(folder / "model.safetensors").items()}

    def everything(self):
        x = self.x
        if self.case == "text":
            logits = x["hidden"] @ x["head"].T
            ids = logits.argmax(-1)
            p = F.softmax(logits.to(torch.float64), dim=-1)
            confidence = p.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
            return {"ids": ids[x["positions"]], "confidence": confidence[x["positions"]]}
        if self.case == "logprobs":
            return self.loss(lambda hidden, head: F.cross_entropy(self.all_logits(hidden, head), self.all_targets()))
        hidden = self.trunk() if self.case == "t2i" else x["hidden"]
        first, last = int(x["positions"][0]), int(x["positions"][-1]) + 1
        logits = (hidden @ x["head"].T)[:, first:last, TEXT:TEXT + CODES]
        return self.sample(logits)

    def sliced(self):
        x = self.x
        if self.case == "text":
            logits = x["hidden"][x["positions"]] @ x["head"][:TEXT].T
            logits[:, x["banned"]] = -torch.inf
            ids = logits.argmax(-1)
            confidence = F.softmax(logits, dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
            return {"ids": ids, "confidence": confidence}
        if self.case == "logprobs":
            return self.loss(lambda hidden, head: F.cross_entropy(hidden[x["positions"]] @ head.T, x["targets"]))
        hidden = self.trunk() if self.case == "t2i" else x["hidden"]
        return self.sample(hidden[:, x["positions"]] @ x["head"][TEXT:TEXT + CODES].T)

    def all_logits(self, hidden, head):
        return hidden @ head.T

    def all_targets(self):
        targets = torch.full((2048,), -100)
        targets[self.x["positions"]] = self.x["targets"]
        return targets

    def loss(self, cross_entropy):
        hidden, head = (self.x[name].clone().requires_grad_(True) for name in ("hidden", "head"))
        with torch.enable_grad():
            loss = cross_entropy(hidden, head)
            gradients = torch.autograd.grad(loss, (hidden, head))
        return {"loss": loss.detach().reshape(1), "dhidden": gradients[0], "dhead": gradients[1]}

    def sample(self, logits):
        scale = self.x["guidance"]
        p = F.softmax((1 + scale) * logits[0] - scale * logits[1], dim=-1)
        ids = torch.multinomial(p, 1)
        return {"ids": ids.squeeze(-1), "confidence": p.gather(-1, ids).squeeze(-1), "best": p.argmax(-1)}

    def norm(self, x, name):
        return F.rms_norm(x, (WIDTH,), self.weights[name + ".weight"], 1e-5)

    def trunk(self):
        ids, w = self.x["ids"], self.weights
        length, half = ids.shape[1], WIDTH // HEADS // 2
        angles = torch.outer(torch.arange(length).float(), 500000.0 ** (-torch.arange(half) / half)).repeat(1, 2)
        cos, sin = angles.cos(), angles.sin()
        mask = (torch.arange(length)[None] >= self.x["begins"][:, None])[:, None, None, :]

        def heads(x):
            return x.view(2, length, HEADS, -1).transpose(1, 2)

        def rope(x):
            a, b = x.chunk(2, -1)
            return x * cos + torch.cat([-b, a], -1) * sin

        x = F.embedding(ids, w["wte.weight"])
        for i in range(LAYERS):
            h = self.norm(x, f"blocks.{i}.attn_norm")
            q, k, v = (heads(h @ w[f"blocks.{i}.{name}_proj.weight"].T) for name in "qkv")
            mixed = F.scaled_dot_product_attention(rope(q), rope(k), v, mask).transpose(1, 2).flatten(2)
            x = x + mixed @ w[f"blocks.{i}.attn_out.weight"].T
            y = self.norm(x, f"blocks.{i}.ff_norm")
            x = x + (F.silu(y @ w[f"blocks.{i}.ff_proj.weight"].T) * (y @ w[f"blocks.{i}.up_proj.weight"].T)) @ w[f"blocks.{i}.ff_out.weight"].T
        return self.norm(x, "ln_f")


def serve(case, side, folder, threads):
    """The PyTorch half of the protocol of head_step.cpp."""
    torch.set_num_threads(threads)
    with torch.no_grad():
        step = getattr(Plain(case, folder), side)
        before = memory_bytes("VmRSS")
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            step()
            print(f"{time.perf_counter() - start:.6f}", flush=True)
        print(memory_bytes("VmHWM") - before)
        save_file(step(), folder / f"{side}.safetensors")


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.times = []

    def round(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))

    def finish(self):
        self.process.stdin.close()
        self.memory = int(self.process.stdout.readline())
        assert self.process.wait() == 0


def check(case, folder):
    """What the sides computed is the same; the sampled ids of images are random, their confidences comparable only at equal ids."""
    ours, plain = (load_file(folder / f"{name}.safetensors") for name in ("ours", "sliced"))
    if case == "text":
        assert torch.equal(ours["ids"], plain["ids"])
        assert torch.allclose(ours["confidence"], plain["confidence"].double(), rtol=1e-4)
    elif case == "logprobs":
        for name in plain:
            torch.testing.assert_close(ours[name], plain[name], rtol=1e-3, atol=1e-5)
    else:
        same = ours["ids"] - TEXT == plain["ids"]
        assert torch.allclose(ours["confidence"][same], plain["confidence"][same].double(), rtol=1e-3)


def measure(case, options):
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tensors = inputs(case)
        save_file(tensors, folder / "in.safetensors")
        if case == "t2i":
            write_checkpoint(folder, VOCABULARY, WIDTH, LAYERS, HEADS, HIDDEN, tensors["head"], MASK)
        python = [sys.executable, __file__, options.program, "--folder", name, "--threads", str(options.threads), "--cases", case]
        sides = {"everything": Side([*python, "--side", "everything"]), "sliced": Side([*python, "--side", "sliced"]),
                 "ours": Side([options.program, case, name, str(options.threads)])}
        for _ in range(options.rounds + 1):
            for side in sides.values():
                side.round()
        for side in sides.values():
            side.finish()
            del side.times[0]  # the first step of every side pays for its memory
        check(case, folder)
    ours = sides["ours"]
    for side, title in (("everything", "(i) published procedure"), ("sliced", "(ii) sliced PyTorch"), ("ours", "ours")):
        s = sides[side]
        print(f"| {TITLES[case]} | {title} | {min(s.times):.4f} | {statistics.median(s.times):.4f} | {s.memory / 2**20:.0f} "
              f"| {min(s.times) / min(ours.times):.2f} | {statistics.median(s.times) / statistics.median(ours.times):.2f} "
              f"| {s.memory / max(ours.memory, 1):.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--side", choices=("everything", "sliced"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return serve(options.cases[0], options.side, options.folder, options.threads)
    print(f"# Head, selection and log-probabilities, vocabulary {VOCABULARY}, d {WIDTH}, fp32, {options.threads} threads, CPU\n")
    print(provenance())
    print(f"* `head_step.py --rounds {options.rounds} --threads {options.threads}`: the sides taking turns")
    print("* ratios: how many times ours (best wall, median wall, memory added by a step)\n")
    print("| case | side | best s | median s | memory MiB | best | median | memory |\n|---|---|---|---|---|---|---|---|")
    for case in options.cases:
        measure(case, options)


if __name__ == "__main__":
    main()
