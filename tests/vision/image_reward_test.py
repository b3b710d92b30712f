# SPDX-License-Identifier: MIT
"""ImageReward on random weights, converted from a pickle of the published names, equals torch's own ViT layers in front of transformers'
BLIP text encoder, in fp64; its ids are the tokenizers package's."""
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers.implementations import BertWordPieceTokenizer

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

PROBE = os.environ["MMADA_IMAGE_REWARD_PROBE"]
SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "convert_image_reward.py")
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
SIDE, PATCH, WIDTH, IMAGE_HEADS = 32, 8, 24, 3
TEXT = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 40,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
HEAD = (12, 8, 6, 4)
TEXTS = ["A large Red square", "", "a cat, isn't it?", " ".join(["long words"] * 40), "Ünïcödé 中文 \u2014 [SEP] [MASK]", "x" * 200]
SIZES = [(32, 32), (64, 48), (33, 70), (97, 41), (35, 32), (200, 201)]


class Vit(torch.nn.Module):
    """A ViT of torch's encoder layers."""

    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.place = torch.nn.Parameter(torch.zeros(1, (SIDE // PATCH) ** 2 + 1, WIDTH))
        self.layers = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(WIDTH, IMAGE_HEADS, 4 * WIDTH, 0.0, "gelu", 1e-6, True, True)
                                          for _ in range(3))
        self.norm = torch.nn.LayerNorm(WIDTH, 1e-6)

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def published(self):
        """The weights under timm's names."""
        names = {"patch.": "patch_embed.proj.", "token": "cls_token", "place": "pos_embed", "layers.": "blocks.", "linear1": "mlp.fc1",
                 "linear2": "mlp.fc2", "self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj": "attn.proj"}
        for name, tensor in self.state_dict().items():
            for ours, theirs in names.items():
                name = name.replace(ours, theirs)
            yield name, tensor


class Oracle(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.image = Vit()
        self.text = BlipTextModel(BlipTextConfig(vocab_size=vocabulary, encoder_hidden_size=WIDTH, is_decoder=True, **TEXT),
                                  add_pooling_layer=False)
        widths = (TEXT["hidden_size"], *HEAD, 1)
        layers = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
        for place in (1, 3, 5):
            layers.insert(place, torch.nn.Dropout(0.1))
        self.head = torch.nn.Sequential(*layers)

    def forward(self, pixels, ids, given):
        patches = self.image(pixels)
        text = self.text(ids, attention_mask=given, encoder_hidden_states=patches, encoder_attention_mask=torch.ones(patches.shape[:2]),
                         is_decoder=False)
        return (self.head(text.last_hidden_state[:, 0])[:, 0] - MEAN) / DEVIATION

    def published(self):
        state = {"blip.visual_encoder." + name: tensor for name, tensor in self.image.published()}
        state |= {"blip.text_encoder." + name: tensor for name, tensor in self.text.state_dict().items()}
        state |= {"mlp.layers." + name: tensor for name, tensor in self.head.state_dict().items()}
        state["blip.vision_proj.weight"] = state["blip.text_proj.bias"] = torch.zeros(3)
        state["blip.text_encoder.embeddings.position_ids"] = torch.arange(TEXT["max_position_embeddings"])[None]
        return state


def convert(output, *arguments):
    return subprocess.run([sys.executable, SCRIPT, str(output), *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The oracle, its tokenizer, and the folder of the published files."""
    root = tmp_path_factory.mktemp("image_reward")
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(TEXTS * 3, vocab_size=200, min_frequency=1, show_progress=False)
    tokenizer.save_model(str(root))
    tokenizer = BertWordPieceTokenizer(str(root / "vocab.txt"))  # with [CLS] and [SEP] around texts
    model = Oracle(tokenizer.get_vocab_size() + 2).eval()
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        with torch.no_grad():
            weight.normal_(generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                weight.mul_(0.2).add_(1)
            elif weight.dim() > 1 and not any(kind in name for kind in ("embeddings", "token", "place")):
                weight.mul_(1.5 / weight[0].numel() ** 0.5)
            else:
                weight.mul_(0.3)
    torch.save(model.published(), root / "ImageReward.pt")
    (root / "med_config.json").write_text(json.dumps(TEXT | {"vocab_size": 30524, "add_cross_attention": True}))
    return model, tokenizer, root


@pytest.fixture(scope="module")
def folder(made):
    root = made[2]
    done = convert(root / "converted", root / "ImageReward.pt", root / "med_config.json", root / "vocab.txt", "--image-heads", IMAGE_HEADS)
    assert done.returncode == 0, done.stderr
    return root / "converted"


def pictures(tmp_path):
    draw = random.Random(5)
    paths = []
    for width, height in SIZES:
        paths.append(tmp_path / f"{width}x{height}.png")
        small = Image.frombytes("RGB", (7, 5), draw.randbytes(105))
        small.resize((width, height), Image.Resampling.NEAREST).save(paths[-1])
    return paths


def clip_pixels(path):
    """torchvision's Resize(SIDE, BICUBIC), CenterCrop(SIDE), ToTensor, Normalize; rows are scaled first, as Pillow did before 13."""
    image = Image.open(path)
    short = min(image.size)
    width, height = (int(SIDE * side / short) for side in image.size)
    image = image.resize((width, image.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)
    left, top = int(round((width - SIDE) / 2.0)), int(round((height - SIDE) / 2.0))
    pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE))).transpose(2, 0, 1) / 255
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    return torch.from_numpy((pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1)))


def probe(folder, tmp_path, texts=TEXTS, images=()):
    (tmp_path / "request.json").write_text(json.dumps({"texts": texts, "images": [str(path) for path in images]}))
    done = subprocess.run([PROBE, folder, tmp_path / "request.json", tmp_path / "output.safetensors"], capture_output=True, text=True,
                          check=False)
    return load_file(tmp_path / "output.safetensors") if done.returncode == 0 else done.stderr


def test_ids_pixels_and_scores_equal_torch_and_transformers(made, folder, tmp_path):
    model, tokenizer, _ = made
    paths = pictures(tmp_path)
    found = probe(folder, tmp_path, images=paths)
    tokenizer.enable_truncation(35)
    tokenizer.enable_padding(length=35)
    rows = tokenizer.encode_batch(TEXTS)
    ids, given = torch.tensor([row.ids for row in rows]), torch.tensor([row.attention_mask for row in rows])
    assert torch.equal(found["given"], given) and torch.equal(found["ids"] * given, ids * given)  # the longest text fills its row
    pixels = torch.stack([clip_pixels(path) for path in paths])
    assert (found["pixels"].double() - pixels).abs().max() < 1e-6 * pixels.abs().max()
    with torch.no_grad():
        exact = model.double()(pixels, ids, given)
        mixed = model(pixels.roll(1, 0), ids, given)
    assert (found["scores"].double() - exact).abs().max() < 1e-5 * exact.abs().max()
    assert (mixed - exact).abs().min() > 1e-3  # the picture counts


def test_what_the_converter_is_handed_wrong_is_named(made, folder, tmp_path):
    _, _, root = made
    state = torch.load(root / "ImageReward.pt", weights_only=True)
    tensor = state.pop("blip.text_encoder.encoder.layer.1.crossattention.self.key.bias")
    torch.save(state, tmp_path / "less.pt")
    rest = (root / "med_config.json", root / "vocab.txt")
    done = convert(tmp_path / "new", tmp_path / "less.pt", *rest)
    assert done.returncode == 1 and "less.pt: 1 tensors are missing: blip.text_encoder.encoder.layer.1.crossattention.self.key.bias" in done.stderr
    state |= {"blip.text_encoder.encoder.layer.1.crossattention.self.key.bias": tensor, "blip.text_decoder.bias": tensor}
    torch.save(state, tmp_path / "more.pt")
    done = convert(tmp_path / "new", tmp_path / "more.pt", *rest)
    assert done.returncode == 1 and "more.pt: 1 tensors are of no use here: blip.text_decoder.bias" in done.stderr
    assert "exists already" in convert(folder, root / "ImageReward.pt", *rest).stderr
    (tmp_path / "med.json").write_text("{}")
    assert "med.json: found no num_attention_heads" in convert(tmp_path / "new", root / "ImageReward.pt", tmp_path / "med.json", rest[1]).stderr
    assert not (tmp_path / "new").exists()


def changed(folder, tmp_path, edit):
    copy = tmp_path / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (copy / name).write_bytes((folder / name).read_bytes())
    config = json.loads((copy / "config.json").read_text())
    edit(config)
    (copy / "config.json").write_text(json.dumps(config))
    return probe(copy, tmp_path)


def test_loading_names_what_does_not_fit(folder, tmp_path):
    message = changed(folder, tmp_path, lambda c: c["vision"].update(num_hidden_layers=4))
    assert "blip.visual_encoder.blocks.3.attn.qkv.weight" in message
    message = changed(folder, tmp_path, lambda c: c["text"].update(num_attention_heads=3))
    assert "config.json: field `text.num_attention_heads`: found 3, expected a divisor of hidden_size 16" in message
    message = changed(folder, tmp_path, lambda c: c["text"].update(width=3))
    assert "unknown field `text.width`" in message
    message = changed(folder, tmp_path, lambda c: c.update(head=[12, 8, 6]))
    assert "mlp.layers.7.weight" in message
    message = changed(folder, tmp_path, lambda c: c["text"].update(vocab_size=20))
    assert "vocab.txt: found" in message and "expected at most the network's 20" in message
