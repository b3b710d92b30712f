# SPDX-License-Identifier: MIT
"""ImageReward on random weights, converted from a pickle of the published names, equals torch's own ViT layers in front of transformers'
BLIP text encoder, in fp64; its ids are the tokenizers package's. MMADA_FULL=1: at the published size too, of
which otherwise names, shapes and a finite score are looked at."""
import json
import os
import random
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers.implementations import BertWordPieceTokenizer

from large_weights import doubled, narrow_weights, spread, write_tensors

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

PROBE = os.environ["MMADA_IMAGE_REWARD_PROBE"]
FULL = os.environ.get("MMADA_FULL") == "1"
SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "convert_image_reward.py")
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
SIDE = 32
IMAGE = {"side": SIDE, "patch": 8, "width": 24, "heads": 3, "layers": 3}
TEXT = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 40,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
HEAD = (12, 8, 6, 4)
TEXTS = ["A large Red square", "", "a cat, isn't it?", " ".join(["long words"] * 40), "Ünïcödé 中文 \u2014 [SEP] [MASK]", "x" * 200]
SIZES = [(32, 32), (64, 48), (33, 70), (97, 41), (35, 32), (200, 201)]


class Vit(torch.nn.Module):
    """A ViT of torch's encoder layers."""

    def __init__(self, side, patch, width, heads, layers):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, width, patch, patch)
        self.token = torch.nn.Parameter(torch.zeros(1, 1, width))
        self.place = torch.nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.layers = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", 1e-6, True, True)
                                          for _ in range(layers))
        self.norm = torch.nn.LayerNorm(width, 1e-6)

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
    def __init__(self, vocabulary, image, text, head):
        super().__init__()
        self.image = Vit(**image)
        self.text = BlipTextModel(BlipTextConfig(vocab_size=vocabulary, encoder_hidden_size=image["width"], is_decoder=True, **text),
                                  add_pooling_layer=False)
        widths = (text["hidden_size"], *head, 1)
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
        for name, width in (("vision", self.text.config.encoder_hidden_size), ("text", self.text.config.hidden_size)):
            state |= {f"blip.{name}_proj.weight": torch.zeros(256, width), f"blip.{name}_proj.bias": torch.zeros(256)}
        state["blip.text_encoder.embeddings.position_ids"] = torch.arange(self.text.config.max_position_embeddings)[None]
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
    model = Oracle(tokenizer.get_vocab_size() + 2, IMAGE, TEXT, HEAD).eval()
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        with torch.no_grad():
            spread(name, weight.normal_(generator=generator), weight.shape)
    torch.save(model.published(), root / "ImageReward.pt")
    (root / "med_config.json").write_text(json.dumps(TEXT | {"vocab_size": 30524, "add_cross_attention": True}))
    return model, tokenizer, root


@pytest.fixture(scope="module")
def folder(made):
    root = made[2]
    files = [root / name for name in ("ImageReward.pt", "med_config.json", "vocab.txt")]
    done = convert(root / "converted", *files, "--image-heads", IMAGE["heads"])
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


def clip_pixels(path, crop=SIDE):
    """torchvision's Resize(crop, BICUBIC), CenterCrop(crop), ToTensor, Normalize; rows are scaled first, as Pillow did before 13."""
    image = Image.open(path)
    short = min(image.size)
    width, height = (int(crop * side / short) for side in image.size)
    image = image.resize((width, image.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)
    left, top = int(round((width - crop) / 2.0)), int(round((height - crop) / 2.0))
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop))).transpose(2, 0, 1) / 255
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


# of ImageReward-v1.0
PUBLISHED_IMAGE = {"side": 224, "patch": 16, "width": 1024, "heads": 16, "layers": 24}
PUBLISHED_MED = {"architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
                 "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
                 "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
                 "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30524, "encoder_width": 768, "add_cross_attention": True}
PUBLISHED_HEAD = (1024, 128, 64, 16)
PUBLISHED_NAMES = {  # some, with their shapes
    "blip.visual_encoder.cls_token": (1, 1, 1024), "blip.visual_encoder.pos_embed": (1, 197, 1024),
    "blip.visual_encoder.patch_embed.proj.weight": (1024, 3, 16, 16), "blip.visual_encoder.blocks.0.attn.qkv.weight": (3072, 1024),
    "blip.visual_encoder.blocks.23.attn.proj.bias": (1024,), "blip.visual_encoder.blocks.23.mlp.fc1.weight": (4096, 1024),
    "blip.visual_encoder.blocks.23.norm2.weight": (1024,), "blip.visual_encoder.norm.bias": (1024,),
    "blip.text_encoder.embeddings.word_embeddings.weight": (30524, 768), "blip.text_encoder.embeddings.LayerNorm.weight": (768,),
    "blip.text_encoder.embeddings.position_embeddings.weight": (512, 768), "blip.text_encoder.embeddings.position_ids": (1, 512),
    "blip.text_encoder.encoder.layer.0.attention.self.value.bias": (768,),
    "blip.text_encoder.encoder.layer.0.crossattention.self.query.weight": (768, 768),
    "blip.text_encoder.encoder.layer.11.crossattention.self.key.weight": (768, 1024),
    "blip.text_encoder.encoder.layer.11.crossattention.output.LayerNorm.bias": (768,),
    "blip.text_encoder.encoder.layer.11.intermediate.dense.weight": (3072, 768),
    "blip.text_encoder.encoder.layer.11.output.dense.weight": (768, 3072), "blip.text_proj.weight": (256, 768),
    "blip.vision_proj.weight": (256, 1024), "mlp.layers.0.weight": (1024, 768), "mlp.layers.2.weight": (128, 1024),
    "mlp.layers.4.weight": (64, 128), "mlp.layers.6.weight": (16, 64), "mlp.layers.7.weight": (1, 16)}


def publish(root, state, vocabulary):
    """The published files in a folder, and in `converted` what the script makes of them; without FULL with weights that take no room."""
    (root / "med_config.json").write_text(json.dumps(PUBLISHED_MED))
    if FULL:
        torch.save(state, root / "ImageReward.pt")  # small: overlapping rows stay so
        done = convert(root / "converted", root / "ImageReward.pt", root / "med_config.json", vocabulary)
        assert done.returncode == 0, done.stderr
        return
    script = runpy.run_path(SCRIPT)
    used = {name: tensor for name, tensor in state.items() if not script["UNUSED"].match(name)}
    (root / "converted").mkdir()
    (root / "converted" / "config.json").write_text(json.dumps(script["make_config"](used, "ImageReward.pt", PUBLISHED_MED, None)))
    shutil.copy(vocabulary, root / "converted" / "vocab.txt")
    write_tensors(root / "converted" / "model.safetensors", used, sparse=True)


def test_published_size_loads_and_equals_torch_and_transformers(made, tmp_path):
    text = {key: PUBLISHED_MED[key] for key in TEXT}
    with torch.device("meta"):
        model = Oracle(PUBLISHED_MED["vocab_size"], PUBLISHED_IMAGE, text, PUBLISHED_HEAD).eval()
    assert sum(weight.numel() for weight in model.image.parameters()) == 303_301_632  # ViT-L/16 at 224 without a classifier
    weights = narrow_weights(model)
    model.load_state_dict(weights, assign=True)
    state = model.published()
    assert {name: tuple(state[name].shape) for name in PUBLISHED_NAMES} == PUBLISHED_NAMES
    publish(tmp_path, state, made[2] / "vocab.txt")
    path = pictures(tmp_path)[-1]
    found = probe(tmp_path / "converted", tmp_path, TEXTS[:1], [path])
    (tmp_path / "converted" / "model.safetensors").unlink()  # too large for a folder that pytest keeps
    assert isinstance(found, dict), found
    pixels = clip_pixels(path, 224)[None]
    assert (found["pixels"].double() - pixels).abs().max() < 1e-6 * pixels.abs().max()
    assert found["scores"].shape == (1,) and found["scores"].isfinite().all()
    if not FULL:
        return
    model.load_state_dict(doubled(weights), assign=True)
    model.text.embeddings.position_ids = torch.arange(text["max_position_embeddings"])[None]
    with torch.no_grad():
        exact = model(pixels, found["ids"], found["given"])
    assert (found["scores"].double() - exact).abs().max() < 1e-5 * exact.abs().max()
