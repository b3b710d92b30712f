#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The step of transformer_step.cpp in plain PyTorch: python transformer_step.py [threads] [d_model] [layers] [none|hard]"""
import sys
import time

import torch
import torch.nn.functional as F

ROWS, TOKENS, VOCABULARY, STEPS = 28, 107, 1536, 12


class RMSNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def linear(inputs, outputs):
    return torch.nn.Linear(inputs, outputs, bias=False)


class Block(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.attn_norm, self.ff_norm = RMSNorm(width), RMSNorm(width)
        self.q, self.k, self.v, self.attn_out = (linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)

    def forward(self, x, cos, sin, mask):
        def heads(t):
            return t.view(*t.shape[:2], -1, 64).transpose(1, 2)

        def rope(t):
            a, b = t.chunk(2, -1)
            return t * cos + torch.cat([-b, a], -1) * sin

        h = self.attn_norm(x)
        mixed = F.scaled_dot_product_attention(rope(heads(self.q(h))), rope(heads(self.k(h))), heads(self.v(h)), mask)
        x = x + self.attn_out(mixed.transpose(1, 2).flatten(2))
        y = self.ff_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Transformer(torch.nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.wte = torch.nn.Embedding(VOCABULARY, width)
        self.blocks = torch.nn.ModuleList(Block(width, width * 8 // 3 // 64 * 64) for _ in range(layers))
        self.norm, self.head = RMSNorm(width), linear(width, VOCABULARY)
        angles = torch.outer(torch.arange(TOKENS).float(), 500000.0 ** (-torch.arange(0, 64, 2) / 64)).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def forward(self, ids, positions, mask):
        x = self.wte(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, mask)
        return self.head(self.norm(x.flatten(0, 1)[positions]))


def main():
    arguments = sys.argv[1:] + ["2", "192", "6", "none"][len(sys.argv) - 1:]
    torch.set_num_threads(int(arguments[0]))
    model = Transformer(int(arguments[1]), int(arguments[2]))
    ids = torch.randint(VOCABULARY, (ROWS, TOKENS))
    positions = torch.arange(0, ROWS * TOKENS, 2)
    targets = torch.randint(VOCABULARY, (len(positions),))
    mask = None
    if arguments[3] == "hard":
        mask = (torch.arange(TOKENS)[None] >= torch.arange(ROWS)[:, None] % 20)[:, None, None, :]
    wall, cpu = [], []
    for i in range(STEPS + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(ids, positions, mask), targets).backward()
        if i:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    print(f"pytorch: {ROWS / sorted(wall)[STEPS // 2]:.1f} rows/s (median), {ROWS / min(cpu):.1f} rows per CPU second (best)")


if __name__ == "__main__":
    main()
