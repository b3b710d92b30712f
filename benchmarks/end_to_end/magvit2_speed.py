#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed of the image tokenizer of published size against the same network written plainly in PyTorch.

    python benchmarks/end_to_end/magvit2_speed.py BUILD/bin/bench_magvit2_speed [--rounds 10] [--threads 2] [--size 256]
        > benchmarks/results/DATE-magvit2.md

Plain means layer by layer: default (contiguous) layout, F.group_norm and F.silu as two calls, fp32, no_grad, eval. Both sides
hold the same random weights and take turns, one encode and one decode at a time, so that other work on the machine meets
both. Reported are the best and the median wall time and the best CPU time, and their ratios.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from measuring import provenance

ENCODER = {"mult": (1, 2, 2, 4, 4), "blocks": (4, 3, 4, 3, 4)}
DECODER = {"mult": (1, 1, 2, 2, 4), "blocks": (4, 4, 3, 4, 3)}
CHANNELS, BITS = 128, 13


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


def swish_norm(layer, x):
    return F.silu(F.group_norm(x, 32, layer.weight, layer.bias, 1e-6))


class ResnetBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        h = self.conv1(swish_norm(self.norm1, x))
        h = self.conv2(swish_norm(self.norm2, h))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class AttnBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(torch.bmm(q.transpose(1, 2), k) * x.shape[1] ** -0.5, dim=2)
        return x + self.proj_out(torch.bmm(v, weights.transpose(1, 2)).view(x.shape))


class Mid(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block_1, self.attn_1 = ResnetBlock(channels, channels), AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Resample(nn.Module):
    def __init__(self, channels, down):
        super().__init__()
        self.down, self.conv = down, nn.Conv2d(channels, channels, 3, 2 if down else 1, 0 if down else 1)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    def __init__(self, inputs, outputs, blocks, resample):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        if resample:
            setattr(self, resample, Resample(outputs, resample == "downsample"))

    def forward(self, x):
        for layer in [*self.block, *(child for name, child in self.named_children() if name != "block")]:
            x = layer(x)
        return x


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [CHANNELS * m for m in ENCODER["mult"]]
        self.conv_in = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.down = nn.ModuleList(
            Level(i, o, n, "downsample" if o_index < 4 else None)
            for o_index, (i, o, n) in enumerate(zip([CHANNELS, *widths], widths, ENCODER["blocks"])))
        self.mid, self.norm_out = Mid(widths[-1]), norm(widths[-1])
        self.conv_out, self.quant_conv = nn.Conv2d(widths[-1], BITS, 3, padding=1), nn.Conv2d(BITS, BITS, 1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.quant_conv(self.conv_out(swish_norm(self.norm_out, self.mid(x))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [CHANNELS * m for m in DECODER["mult"]]
        self.post_quant_conv, self.conv_in = nn.Conv2d(BITS, BITS, 1), nn.Conv2d(BITS, widths[-1], 3, padding=1)
        self.mid = Mid(widths[-1])
        inputs = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(Level(inputs[i], widths[i], DECODER["blocks"][i], "upsample" if i else None) for i in range(5))
        self.norm_out, self.conv_out = norm(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, codes):
        bits = codes.unsqueeze(1) >> torch.arange(BITS - 1, -1, -1).view(1, BITS, 1, 1) & 1
        x = self.mid(self.conv_in(self.post_quant_conv(bits.float() * 2 - 1)))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(swish_norm(self.norm_out, x))


def timed(call):
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


class Ours:
    """The C++ program, waiting for a line per round."""

    def __init__(self, program, folder, threads):
        command = [program, str(folder), str(folder / "in.safetensors"), str(folder / "out.safetensors"), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def round(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        numbers = [float(x) for x in self.process.stdout.readline().split()]
        return numbers[:2], numbers[2:]


def report(plain, ours, differences, options):
    print(f"# Image tokenizer (published size), {options.size}x{options.size}, fp32, {options.threads} threads, CPU\n")
    print(provenance())
    print(f"* `{options.command}`: {options.rounds} rounds, the two sides taking turns")
    print(f"* largest difference: latent {differences[0]:.1e}, picture {differences[1]:.1e}\n")
    print("| | plain PyTorch s | ours s | ratio |\n|---|---|---|---|")
    ratios = {}
    for name, place in (("encode", 0), ("decode", 1), ("both", None)):
        for kind, index, choose in (("best wall", 0, min), ("median wall", 0, statistics.median), ("best CPU", 1, min)):
            pick = lambda one: one[place][index] if place is not None else one[0][index] + one[1][index]  # noqa: E731
            a, b = choose(map(pick, plain)), choose(map(pick, ours))
            ratios[f"{name} {kind}"] = a / b
            print(f"| {name}, {kind} | {a:.3f} | {b:.3f} | {a / b:.2f} |")
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    options.command = f"magvit2_speed.py --rounds {options.rounds} --threads {options.threads} --size {options.size}"
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    encoder, decoder = Encoder().eval(), Decoder().eval()
    image = torch.rand(1, 3, options.size, options.size) * 2 - 1
    codes = torch.randint(0, 2**BITS, (1, options.size // 16, options.size // 16))
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = pathlib.Path(name)
        state = {f"{part}.{key}": value for part, module in (("encoder", encoder), ("decoder", decoder))
                 for key, value in module.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"_class_name": "MAGVITv2"}))
        save_file({"image": image, "codes": codes}, folder / "in.safetensors")
        ours = Ours(options.program, folder, options.threads)
        result = load_file(folder / "out.safetensors")
        differences = [(result["latent"] - encoder(image)).abs().max(), (result["picture"] - decoder(codes)).abs().max()]
        times = [], []
        for _ in range(options.rounds):
            times[0].append((timed(lambda: encoder(image)), timed(lambda: decoder(codes))))
            times[1].append(ours.round())
        report(*times, differences, options)


if __name__ == "__main__":
    main()
