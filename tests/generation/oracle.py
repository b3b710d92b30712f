# SPDX-License-Identifier: MIT
"""A plain, slow rendition of SPEC 1.2 and 5 in fp64: one function per published loop, no batching, no shortcuts.

Every function also returns the smallest margin that decided something (between the best and second best token, or at a
commit's edge, in nats), so that a test can tell a wrong answer from a tie that rounding may break either way.
"""
import json
import math
import pathlib

import torch
from safetensors.torch import load_file

DTYPE = torch.float64


class Model:
    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.config = json.loads((directory / "config.json").read_text())
        self.weights = {k.removeprefix("model."): v.to(DTYPE)
                        for k, v in load_file(str(directory / "model.safetensors")).items()}
        self.mask, self.eos = self.config["mask_token_id"], self.config["eos_token_id"]
        self.offset, self.codebook = self.config["image_token_offset"], self.config["codebook_size"]
        self.special = self.config.get("special_token_ids", {})

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * self.weights[name]

    def rope(self, x):  # [heads, T, d]
        half = x.shape[-1] // 2
        frequency = self.config["rope_theta"] ** (-torch.arange(half, dtype=DTYPE) / half)
        angle = torch.arange(x.shape[-2], dtype=DTYPE)[:, None] * frequency
        cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    def bias(self, length, valid, mode):
        inside = torch.zeros(length, dtype=torch.bool)
        inside[valid[0]:valid[1]] = True
        if mode == "hard":
            return torch.where(inside, 0.0, -math.inf).to(DTYPE).expand(length, length)
        if mode == "additive_one":
            return (inside[:, None] & inside[None, :]).to(DTYPE)
        return torch.zeros(length, length, dtype=DTYPE)

    def logits(self, ids, valid=None, mode="hard"):
        """[T, V] of one row."""
        c, w = self.config, self.weights
        x = w["transformer.wte.weight"][torch.tensor(ids)]
        length, heads = len(ids), c["n_heads"]
        bias = self.bias(length, valid or (0, length), mode)
        for layer in range(c["n_layers"]):
            p = f"transformer.blocks.{layer}."
            h = self.norm(x, p + "attn_norm.weight")
            q, k, v = ((h @ w[p + n + "_proj.weight"].T).view(length, heads, -1).transpose(0, 1) for n in "qkv")
            q, k = self.rope(q), self.rope(k)
            a = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias, -1) @ v
            x = x + a.transpose(0, 1).reshape(length, -1) @ w[p + "attn_out.weight"].T
            h = self.norm(x, p + "ff_norm.weight")
            gate, up = h @ w[p + "ff_proj.weight"].T, h @ w[p + "up_proj.weight"].T
            x = x + (torch.nn.functional.silu(gate) * up) @ w[p + "ff_out.weight"].T
        return self.norm(x, "transformer.ln_f.weight") @ w["transformer.ff_out.weight"].T


def choice_margin(logits):
    best = logits.topk(2, -1).values
    return (best[..., 0] - best[..., 1]).min().item()


def edge_margin(scores, k):
    """Between the k-th and the next score, for the k largest."""
    s = torch.sort(scores, descending=True).values
    return math.inf if k <= 0 or k >= len(s) else (s[k - 1] - s[k]).item()


def text(model, prompt, gen, block, steps, cfg=0.0, compat="reference", mode="hard"):
    """SPEC 5.1 with T = 0: (row, forward passes, margin)."""
    assert gen % block == 0 and steps % (gen // block) == 0
    per_block, begin = steps // (gen // block), len(prompt)
    fixed = compat == "fixed"
    x = torch.tensor(list(prompt) + [model.mask] * gen)
    prompt_index = x != model.mask
    margin, passes = math.inf, 0
    for b in range(gen // block):
        first, end = begin + b * block, begin + (b + 1) * block
        n = int((x[first:end] == model.mask).sum())
        for i in range(per_block):
            candidates = x == model.mask
            candidates[end:] = False
            if fixed:
                candidates[:first] = False
            if not candidates.any():
                continue
            passes += 1
            logits = model.logits(x.tolist(), mode="none" if cfg and not fixed else mode)
            if cfg:
                unconditional = torch.where(prompt_index, model.mask, x)
                u = model.logits(unconditional.tolist(), mode=mode if fixed else "none")
                logits = u + (cfg + 1) * (logits - u)
            if fixed:
                logits = logits[:, :model.offset].clone()
                logits[:, model.mask] = -math.inf
            x0 = logits.argmax(-1)
            confidence = torch.log_softmax(logits, -1).gather(-1, x0[:, None])[:, 0]
            k = min(n // per_block + (i < n % per_block), int(candidates.sum()))
            places = candidates.nonzero()[:, 0]
            if k == 0:
                continue
            margin = min(margin, choice_margin(logits[places]), edge_margin(confidence[places], k))
            chosen = places[torch.sort(confidence[places], descending=True, stable=True).indices[:k]]
            x[chosen] = x0[chosen]
            if fixed:
                answer = x[begin:].tolist()
                if model.eos in answer:
                    at = answer.index(model.eos)
                    if model.mask not in answer[:at]:
                        x[begin + at:] = model.eos
                        return x.tolist(), passes, margin
        if not fixed and x[end - 1] == model.eos:
            break  # the published stop, of a batch of one
    return x.tolist(), passes, margin


def infill(model, ids, steps, compat="fixed"):
    """SPEC 5.3: one block over all MASKs."""
    x = torch.tensor(ids)
    margin, n = math.inf, int((x == model.mask).sum())
    for i in range(steps):
        places = (x == model.mask).nonzero()[:, 0]
        k = min(n // steps + (i < n % steps), len(places))
        if k == 0:
            continue
        logits = model.logits(x.tolist())
        if compat == "fixed":
            logits = logits[:, :model.offset].clone()
            logits[:, model.mask] = -math.inf
        x0 = logits.argmax(-1)
        confidence = torch.log_softmax(logits, -1).gather(-1, x0[:, None])[:, 0]
        margin = min(margin, choice_margin(logits[places]), edge_margin(confidence[places], k))
        chosen = places[torch.sort(confidence[places], descending=True, stable=True).indices[:k]]
        x[chosen] = x0[chosen]
    return x.tolist(), margin


def schedule(name, r):
    """On a 0-dim fp32 tensor, as published."""
    if name == "cosine":
        return torch.cos(r * math.pi * 0.5)
    if name == "linear":
        return torch.clamp(1 - r, 1e-6, 1.0)
    if name == "sigmoid":
        low, high = torch.sigmoid(torch.tensor(-3.0)), torch.sigmoid(torch.tensor(3.0))
        return torch.clamp((high - torch.sigmoid(r * 6 - 3)) / (high - low), 1e-6, 1.0)
    return torch.clamp(1 - r ** float(name[3:]), 1e-6, 1.0)


def t2i_prefix(model, caption, budget):
    """[iPAD]*k <t2i> bos text eos: budget + 1 slots, and the number of pads."""
    s = model.special
    ids = [s["t2i"], s["bos"], *caption, model.eos]
    pads = budget + 1 - len(ids)
    return [s["image_pad"]] * pads + ids, pads


def t2i(model, caption, codes, budget, steps, guidance=0.0, name="cosine", compat="reference", mode="hard",
        uncond_prefix=None):
    """SPEC 5.2, greedy: (codes, margin). codes: -1 = to be generated."""
    soi, eoi = model.special["soi"], model.special["eoi"]
    image = [model.mask if c < 0 else model.offset + c for c in codes]
    prefix, pads = t2i_prefix(model, caption, budget)
    empty, empty_pads = t2i_prefix(model, [], budget)
    row, blank = prefix + [soi] + image + [eoi], empty + [soi] + image + [eoi]
    length, n, slots = len(row), len(codes), slice(len(prefix) + 1, len(prefix) + 1 + len(codes))
    own = budget + 1 if uncond_prefix is None else uncond_prefix
    unknown_at_start, margin = sum(c < 0 for c in codes), math.inf
    cur = torch.tensor(image)
    for s in range(steps):
        row[slots] = cur.tolist()
        logits = model.logits(row, (pads, length), mode)
        if guidance > 0:
            u = model.logits(blank[:own] + row[own:], (empty_pads, length), mode)
            logits = (1 + guidance) * logits - guidance * u
        logits = logits[slots, model.offset:model.offset + model.codebook]
        known = cur != model.mask
        if bool(known.all()):
            break
        margin = min(margin, choice_margin(logits[~known]))
        ids = torch.where(known, cur, logits.argmax(-1) + model.offset)
        log_p = torch.log_softmax(logits, -1).gather(-1, (ids - model.offset)[:, None])[:, 0]
        confidence = torch.where(known, math.inf, log_p.clamp_min(math.log(1e-20)))
        if s == steps - 1:
            cur = ids
            break
        if compat == "reference":
            kept = int((n * schedule(name, torch.tensor((s + 1) / steps))).floor())
        else:
            kept = math.floor(unknown_at_start * fp64_schedule(name, (s + 1) / steps) + 1e-9)
        unknown = int((~known).sum())
        k = max(1, min(unknown - 1, kept))
        if k < unknown:
            margin = min(margin, edge_margin(-confidence[~known], k))
        cut = torch.sort(confidence).values[k]
        cur = torch.where(confidence < cut, model.mask, ids)
    return (cur - model.offset).tolist(), margin


def r2i(model, prompt, codes, budget, think, image, compat="fixed"):
    """SPEC 4's r2i row, its text first (5.1), then its picture (5.2), greedy: (row, forward passes, margin).

    prompt: with bos. think: (tokens, block, steps, cfg). image: (steps, guidance). The picture's unconditional row is t2i's.
    """
    gen, block, steps, cfg = think
    image_steps, guidance = image
    fixed, per_block = compat == "fixed", steps // (gen // block)
    text_slots = prompt + [model.mask] * gen
    row = [model.special["r2i"]] + text_slots + [model.eos] * (budget - len(text_slots))
    row += [model.special["soi"]] + [model.mask if c < 0 else model.offset + c for c in codes] + [model.special["eoi"]]
    begin, first_slot, passes, margin = 1 + len(prompt), budget + 2, 0, math.inf

    def reasoned():
        nonlocal passes, margin
        for b in range(gen // block):
            places_of_block = range(begin + b * block, begin + (b + 1) * block)
            n = sum(row[i] == model.mask for i in places_of_block)
            for i in range(per_block):
                places = [p for p in places_of_block if row[p] == model.mask]
                if not places:
                    break
                passes += 1
                logits = model.logits(row)
                if cfg:
                    u = model.logits([model.mask] * begin + row[begin:])
                    logits = u + (cfg + 1) * (logits - u)
                if fixed:
                    logits = logits[:, :model.offset].clone()
                    logits[:, model.mask] = -math.inf
                best = {p: int(logits[p].argmax()) for p in places}
                sure = {p: float(torch.log_softmax(logits[p], -1)[best[p]]) for p in places}
                k = min(n // per_block + (i < n % per_block), len(places))
                margin = min(margin, choice_margin(logits[places]), edge_margin(torch.tensor([sure[p] for p in places]), k))
                for p in sorted(places, key=lambda p: -sure[p])[:k]:
                    row[p] = best[p]
                for p in range(begin, begin + gen):  # the reasoning ends at its first eos with nothing open before it
                    if row[p] == model.mask:
                        break
                    if row[p] == model.eos:
                        row[p:begin + gen] = [model.eos] * (begin + gen - p)
                        return

    reasoned()
    blank, empty_pads = t2i_prefix(model, [], budget)
    unknown_at_start = sum(c < 0 for c in codes)
    for s in range(image_steps):
        cur = row[first_slot:first_slot + len(codes)]
        open_slots = [i for i, id in enumerate(cur) if id == model.mask]
        if not open_slots:
            break
        passes += 1
        logits = model.logits(row)
        if guidance > 0:
            u = model.logits(blank + row[budget + 1:], (empty_pads, len(row)))
            logits = (1 + guidance) * logits - guidance * u
        logits = logits[first_slot:first_slot + len(codes), model.offset:model.offset + model.codebook]
        best = [int(l.argmax()) for l in logits]
        margin = min(margin, choice_margin(logits[open_slots]))
        sure = [max(float(torch.log_softmax(l, -1)[b]), math.log(1e-20)) for l, b in zip(logits, best)]
        if fixed:
            kept = math.floor(unknown_at_start * fp64_schedule("cosine", (s + 1) / image_steps) + 1e-9)
        else:
            kept = int((len(codes) * schedule("cosine", torch.tensor((s + 1) / image_steps))).floor())
        k = 0 if s == image_steps - 1 else max(1, min(len(open_slots) - 1, kept))
        if 0 < k < len(open_slots):
            margin = min(margin, edge_margin(torch.tensor([-sure[i] for i in open_slots]), k))
        again = set(sorted(open_slots, key=lambda i: sure[i])[:k])
        for i in open_slots:
            row[first_slot + i] = model.mask if i in again else model.offset + best[i]
    return row, passes, margin


def fp64_schedule(name, r):
    if name == "cosine":
        return math.cos(math.pi * r / 2)
    if name == "linear":
        return max(1 - r, 1e-6)
    if name == "sigmoid":
        sigmoid = lambda v: 1 / (1 + math.exp(-v))
        return min(max((sigmoid(3) - sigmoid(6 * r - 3)) / (sigmoid(3) - sigmoid(-3)), 1e-6), 1.0)
    return max(1 - r ** float(name[3:]), 1e-6)
