#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Convert the published ImageReward to the directory that a reward of type "image_reward" names.

    python examples/python/convert_image_reward.py OUTPUT ImageReward.pt med_config.json vocab.txt [--image-heads N]

ImageReward.pt and med_config.json are the files of ImageReward-v1.0, vocab.txt is that of bert-base-uncased. The pickle is loaded with
torch.load(weights_only=True), which runs no code out of it. Sizes are read off the tensors and med_config.json; the heads of the picture's
encoder, which neither tells, are one for 64 channels unless given. OUTPUT must not exist. Needs torch and safetensors.
"""
import argparse
import json
import os
import re
import shutil
import sys
import tempfile

import torch
from safetensors.torch import save_file

IMAGE, TEXT = "blip.visual_encoder.", "blip.text_encoder."
# BLIP's projections for its contrastive loss, a constant, and a pooler that is never called
UNUSED = re.compile(r"blip\.(vision_proj|text_proj)\.|blip\.text_encoder\.(embeddings\.position_ids$|pooler\.)")


class ConversionError(Exception):
    """Says what was found and what was expected."""


def both(name):
    return {f"{name}.weight", f"{name}.bias"}


def expected_names(image_layers, text_layers, head):
    names = {IMAGE + "cls_token", IMAGE + "pos_embed", TEXT + "embeddings.word_embeddings.weight",
             TEXT + "embeddings.position_embeddings.weight"}
    names |= both(IMAGE + "patch_embed.proj") | both(IMAGE + "norm") | both(TEXT + "embeddings.LayerNorm")
    for i in range(image_layers):
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
            names |= both(f"{IMAGE}blocks.{i}.{part}")
    for i in range(text_layers):
        for part in ("intermediate.dense", "output.dense", "output.LayerNorm"):
            names |= both(f"{TEXT}encoder.layer.{i}.{part}")
        for attention in ("attention", "crossattention"):
            for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"):
                names |= both(f"{TEXT}encoder.layer.{i}.{attention}.{part}")
    for i in head:
        names |= both(f"mlp.layers.{i}")
    return names


def read_state(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ConversionError(f"{path}: found no dictionary of names and tensors, expected the published ImageReward.pt")
    return {name: tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
            for name, tensor in state.items() if not UNUSED.match(name)}


def numbers_of(state, pattern):
    return sorted({int(match.group(1)) for match in (re.match(pattern, name) for name in state) if match})


def check_names(state, path):
    """Layers are counted; a gap shows as missing tensors."""
    image = numbers_of(state, re.escape(IMAGE) + r"blocks\.(\d+)\.")
    text = numbers_of(state, re.escape(TEXT) + r"encoder\.layer\.(\d+)\.")
    head = numbers_of(state, r"mlp\.layers\.(\d+)\.")
    layers = (max(image, default=0) + 1, max(text, default=0) + 1)
    count = max(len(head), 2)  # linear layers, a dropout behind each but the last two
    places = [2 * i for i in range(count - 1)] + [2 * (count - 1) - 1]
    expected = expected_names(*layers, places)
    for what, names in (("missing", expected - state.keys()), ("of no use here", state.keys() - expected)):
        if names:
            raise ConversionError(f"{path}: {len(names)} tensors are {what}: {', '.join(sorted(names)[:5])}")
    return layers, places


def make_config(state, path, med, image_heads):
    layers, head = check_names(state, path)
    width, patch = state[IMAGE + "cls_token"].shape[-1], state[IMAGE + "patch_embed.proj.weight"].shape[-1]
    side = round((state[IMAGE + "pos_embed"].shape[1] - 1) ** 0.5)
    words = state[TEXT + "embeddings.word_embeddings.weight"]
    return {
        "model_type": "image_reward",
        "vision": {"image_size": side * patch, "patch_size": patch, "hidden_size": width, "num_hidden_layers": layers[0],
                   "num_attention_heads": image_heads or width // 64, "layer_norm_eps": 1e-6,
                   "intermediate_size": state[IMAGE + "blocks.0.mlp.fc1.weight"].shape[0], "hidden_act": "gelu"},
        "text": {"vocab_size": words.shape[0], "hidden_size": words.shape[1], "num_hidden_layers": layers[1],
                 "num_attention_heads": med["num_attention_heads"], "layer_norm_eps": med["layer_norm_eps"],
                 "max_position_embeddings": state[TEXT + "embeddings.position_embeddings.weight"].shape[0],
                 "intermediate_size": state[TEXT + "encoder.layer.0.intermediate.dense.weight"].shape[0],
                 "hidden_act": med["hidden_act"], "max_length": 35},
        "head": [state[f"mlp.layers.{i}.weight"].shape[0] for i in head[:-1]],
        "mean": 0.16717362830052426, "std": 1.0333394966054072,
    }


def convert(output, weights, med_config, vocabulary, image_heads):
    if os.path.lexists(output):
        raise ConversionError(f"{output}: exists already, expected a new directory")
    with open(med_config, encoding="utf-8") as file:
        med = json.load(file)
    missing = [key for key in ("num_attention_heads", "layer_norm_eps", "hidden_act") if key not in med]
    if missing:
        raise ConversionError(f"{med_config}: found no {missing[0]}, expected the published med_config.json")
    state = read_state(weights)
    config = make_config(state, weights, med, image_heads)
    parent = os.path.dirname(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=parent) as temporary:
        work = os.path.join(temporary, "image_reward")
        os.mkdir(work)
        save_file(state, os.path.join(work, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(work, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
        shutil.copyfile(vocabulary, os.path.join(work, "vocab.txt"))
        os.rename(work, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("output")
    parser.add_argument("weights", metavar="ImageReward.pt")
    parser.add_argument("med_config", metavar="med_config.json")
    parser.add_argument("vocabulary", metavar="vocab.txt")
    parser.add_argument("--image-heads", type=int, help="of the picture's encoder; one for 64 channels by default")
    arguments = parser.parse_args()
    try:
        convert(arguments.output, arguments.weights, arguments.med_config, arguments.vocabulary, arguments.image_heads)
    except (ConversionError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"convert_image_reward: {error}")


if __name__ == "__main__":
    main()
