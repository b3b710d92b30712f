#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Convert pickled PyTorch weights to a safetensors checkpoint directory, which is all that mmada reads.

    python examples/python/convert_checkpoint.py SOURCE OUTPUT [--max-shard-gib 5]

SOURCE is a .bin, .pt, .pth or .ckpt file, or a directory with one of them or with a pytorch_model.bin.index.json.
Weights nested under "state_dict" or "model" (the image tokenizer's torch file) are unwrapped. Tensors are loaded with
torch.load(weights_only=True), which runs no code out of the file. config.json and tokenizer files are copied along.
OUTPUT must not exist. Needs torch and safetensors.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile

import torch
from safetensors.torch import save_file

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
COMPANIONS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
              "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")


class ConversionError(Exception):
    """Says what was found and what was expected."""


def pickles_of(source):
    """The pickled files to read, in order, and the tensor names an index promises (None without one)."""
    if os.path.isfile(source):
        return [source], None
    if not os.path.isdir(source):
        raise ConversionError(f"{source}: found no file or directory")
    index = os.path.join(source, "pytorch_model.bin.index.json")
    if os.path.isfile(index):
        with open(index, encoding="utf-8") as file:
            weight_map = json.load(file)["weight_map"]
        for name in weight_map.values():
            if os.path.basename(name) != name:
                raise ConversionError(f"{index}: found shard name {name!r}, expected a file in the same directory")
        return [os.path.join(source, name) for name in sorted(set(weight_map.values()))], set(weight_map)
    found = sorted(name for name in os.listdir(source) if name.endswith(PICKLES) and name != "training_args.bin")
    if len(found) != 1:
        raise ConversionError(f"{source}: found {len(found)} pickled files {found}, "
                              "expected one, or a pytorch_model.bin.index.json")
    return [os.path.join(source, found[0])], None


def unwrap(state, path):
    """The mapping of names to tensors, out of the dictionaries that trainers wrap around it."""
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise ConversionError(f"{path}: found {type(state).__name__}, expected names and tensors")
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ConversionError(f"{path}: found entries that are no tensors: {', '.join(map(str, others[:5]))}")
    return state


def own_copy(tensor, seen):
    """A contiguous tensor that shares no memory with an earlier one: safetensors refuses aliases."""
    tensor = tensor.detach().cpu()
    shared = tensor.untyped_storage().data_ptr() in seen
    seen.add(tensor.untyped_storage().data_ptr())
    return tensor.clone(memory_format=torch.contiguous_format) if shared else tensor.contiguous()


class ShardWriter:
    """Collects tensors and writes a file whenever the next one would exceed the limit."""

    def __init__(self, directory, max_bytes):
        self.directory, self.max_bytes = directory, max_bytes
        self.pending, self.bytes, self.shards, self.total = {}, 0, [], 0

    def add(self, name, tensor):
        size = tensor.numel() * tensor.element_size()
        if self.pending and self.bytes + size > self.max_bytes:
            self.flush()
        self.pending[name] = tensor
        self.bytes += size
        self.total += size

    def flush(self):
        if self.pending:
            save_file(self.pending, self.path(len(self.shards)), metadata={"format": "pt"})
            self.shards.append(list(self.pending))
        self.pending, self.bytes = {}, 0

    def path(self, number):
        return os.path.join(self.directory, f"shard-{number}.safetensors")

    def finish(self):
        self.flush()
        count = len(self.shards)
        if count == 1:
            os.rename(self.path(0), os.path.join(self.directory, "model.safetensors"))
            return
        weight_map = {}
        for number, names in enumerate(self.shards):
            final = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
            os.rename(self.path(number), os.path.join(self.directory, final))
            weight_map.update((name, final) for name in names)
        with open(os.path.join(self.directory, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
            json.dump({"metadata": {"total_size": self.total}, "weight_map": weight_map}, file, indent=2)


def convert(source, output, max_shard_bytes):
    if os.path.lexists(output):
        raise ConversionError(f"{output}: exists already, expected a new directory")
    paths, promised = pickles_of(source)
    parent = os.path.dirname(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=parent) as temporary:
        work = os.path.join(temporary, "checkpoint")
        os.mkdir(work)
        writer, names, seen = ShardWriter(work, max_shard_bytes), set(), set()
        for path in paths:
            state = unwrap(torch.load(path, map_location="cpu", weights_only=True, mmap=True), path)
            for name, tensor in state.items():
                if name in names:
                    raise ConversionError(f"{path}: found {name!r} a second time")
                names.add(name)
                writer.add(name, own_copy(tensor, seen))
            writer.flush()
            seen.clear()
        if promised is not None and names != promised:
            odd = sorted(names ^ promised)
            raise ConversionError(f"{source}: shards and index disagree about {len(odd)} tensors: {', '.join(odd[:5])}")
        writer.finish()
        if os.path.isdir(source):
            for name in COMPANIONS:
                if os.path.isfile(os.path.join(source, name)):
                    shutil.copy(os.path.join(source, name), work)
        os.rename(work, output)
    return len(names), writer.total


def main():
    parser = argparse.ArgumentParser(description="Convert pickled PyTorch weights to a safetensors checkpoint.")
    parser.add_argument("source", help=".bin, .pt, .pth or .ckpt file, or a directory that holds them")
    parser.add_argument("output", help="directory to create")
    parser.add_argument("--max-shard-gib", type=float, default=5.0, help="largest file, in GiB (default 5)")
    arguments = parser.parse_args()
    try:
        count, size = convert(arguments.source, arguments.output, int(arguments.max_shard_gib * 2**30))
    except (ConversionError, OSError, ValueError, KeyError, RuntimeError) as error:
        sys.exit(f"convert_checkpoint: {error}")
    except Exception as error:  # pickle.UnpicklingError of several modules: files that weights_only refuses
        sys.exit(f"convert_checkpoint: {arguments.source}: {type(error).__name__}: {error}")
    print(f"{arguments.output}: {count} tensors, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
