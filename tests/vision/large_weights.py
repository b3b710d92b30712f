# SPDX-License-Identifier: MIT
"""Random weights for networks of full size in little memory (the rows of a matrix overlap), and files of them."""
import json
import struct

import torch


def spread(name, values, shape):
    """Makes standard normal values those of a weight far from the initial one, where attention is even and biases are zero."""
    if "norm" in name.lower() and name.endswith("weight"):
        values.mul_(0.2).add_(1)
    elif len(shape) > 1 and not any(kind in name for kind in ("embedding", "token", "place")):
        values.mul_(1.5 / shape[1:].numel() ** 0.5)
    else:
        values.mul_(0.3)


def narrow_weights(model):
    """Weights for a model's names and shapes, each in the memory of about a row and a column."""
    generator = torch.Generator().manual_seed(3)
    weights = {}
    for name, weight in model.state_dict().items():
        values = torch.randn(sum(weight.shape) - weight.dim() + 1, generator=generator)
        spread(name, values, weight.shape)
        weights[name] = values.as_strided(weight.shape, [1] * weight.dim())
    return weights


def doubled(weights):
    """The same in fp64, in as little."""
    lengths = {name: sum(weight.shape) - weight.dim() + 1 for name, weight in weights.items()}
    return {name: weight.as_strided([lengths[name]], [1]).double().as_strided(weight.shape, weight.stride())
            for name, weight in weights.items()}


def write_tensors(path, tensors, sparse):
    """A safetensors file, tensor by tensor; sparse: the encoders' matrices are holes, zeros that take no room."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors.items():
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            if not (sparse and tensor.dim() == 2 and "encoder" in name):
                file.write(tensor.contiguous().numpy())
        file.truncate(8 + len(text) + end)
