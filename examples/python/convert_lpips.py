#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Convert LPIPS over VGG-16 to the safetensors directory that `loss.lpips_from` of an image tokenizer's training names.

    python examples/python/convert_lpips.py OUTPUT SOURCE [SOURCE ...]

The SOURCEs are pickled state dictionaries that together hold the network: torchvision's vgg16 (names features.N.*, the
classifier is left out) and the lpips package's heads (lpips/weights/v0.1/vgg.pth), or the state of a whole lpips.LPIPS(net="vgg").
They are loaded with torch.load(weights_only=True), which runs no code out of the file. OUTPUT must not exist. Needs torch
and safetensors.
"""
import argparse
import os
import re
import sys
import tempfile

import torch
from safetensors.torch import save_file

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
EXPECTED = ({f"features.{i}.{kind}" for i in CONVOLUTIONS for kind in ("weight", "bias")}
            | {f"lin{tap}.model.1.weight" for tap in range(5)})
# what the two packages store beside: VGG's classifier, LPIPS's constants and its second list of the same heads
UNUSED = re.compile(r"classifier\.|scaling_layer\.|lins\.")


class ConversionError(Exception):
    """Says what was found and what was expected."""


def canonical(name):
    """torchvision's name of a convolution that LPIPS keeps under net.sliceK, others as they are."""
    return re.sub(r"^net\.slice\d\.(\d+)\.", r"features.\1.", name)


def collect(sources):
    tensors = {}
    for path in sources:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ConversionError(f"{path}: found {type(state).__name__}, expected names and tensors")
        for name, tensor in state.items():
            if UNUSED.match(name):
                continue
            if canonical(name) not in EXPECTED:
                raise ConversionError(f"{path}: found {name!r}, expected tensors of VGG-16 and LPIPS's heads")
            if canonical(name) in tensors:
                raise ConversionError(f"{path}: found {name!r} a second time")
            tensors[canonical(name)] = tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
    missing = sorted(EXPECTED - tensors.keys())
    if missing:
        raise ConversionError(f"{', '.join(sources)}: {len(missing)} tensors are missing: {', '.join(missing[:5])}")
    return tensors


def convert(output, sources):
    if os.path.lexists(output):
        raise ConversionError(f"{output}: exists already, expected a new directory")
    tensors = collect(sources)
    parent = os.path.dirname(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=parent) as temporary:
        work = os.path.join(temporary, "lpips")
        os.mkdir(work)
        save_file(tensors, os.path.join(work, "model.safetensors"), metadata={"format": "pt"})
        os.rename(work, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("output")
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    arguments = parser.parse_args()
    try:
        convert(arguments.output, arguments.sources)
    except (ConversionError, OSError) as error:
        sys.exit(f"convert_lpips: {error}")


if __name__ == "__main__":
    main()
