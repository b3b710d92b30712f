# SPDX-License-Identifier: MIT
"""CLIP equals transformers' on random weights: features in fp64, pixels by its Pillow processor, ids by the tokenizers package.
MMADA_FULL=1: at ViT-L/14's size too, of which otherwise names, shapes and finite features are looked at."""
import json
import os
import random
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from large_weights import doubled, narrow_weights, spread, write_tensors

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from transformers import CLIPConfig, CLIPModel
from transformers.image_transforms import get_resize_output_image_size
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

PROBE = os.environ["MMADA_CLIP_PROBE"]
FULL = os.environ.get("MMADA_FULL") == "1"
START, END = "<|startoftext|>", "<|endoftext|>"
POSITIONS = 21
TEXTS = ["A large Red square", "", "a  cat,\n\tisn't it?", "Ünïcödé ẅïth 3 ① ½ İstanbul \u4e2d\u6587 😀 e\u0301", " ".join(["long words"] * 40),
         f"an end {END} within", "1234567", "x" * 300]
SIZES = [(32, 32), (64, 48), (33, 70), (97, 41), (16, 90), (200, 201)]


class Processor(CLIPImageProcessorPil):
    """transformers' with rows scaled before columns, as Pillow did before 13 (tests/vision/resize_pillow_test.py)."""

    size = {"shortest_edge": 32}
    crop_size = {"height": 32, "width": 32}

    def resize(self, image, size, resample=None, **_):
        assert resample == Image.Resampling.BICUBIC
        height, width = get_resize_output_image_size(image, size.shortest_edge, default_to_square=False, input_data_format="channels_first")
        picture = Image.fromarray(image.transpose(1, 2, 0))
        picture = picture.resize((width, picture.height), resample).resize((width, height), resample)
        return np.asarray(picture).transpose(2, 0, 1)


def make_tokenizer(size=0):
    """As CLIP's tokenizer.json is put together, over a small vocabulary or `size` ids; the marks have the highest."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "removed", invert=True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>",
                                  show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    file = json.loads(tokenizer.to_str())
    vocabulary = file["model"]["vocab"]
    for token in [unit + "</w>" for unit in pre_tokenizers.ByteLevel.alphabet()]:
        vocabulary.setdefault(token, len(vocabulary))
    for token in [f"<{i}>" for i in range(len(vocabulary), size - 2)] + [START, END]:
        vocabulary.setdefault(token, len(vocabulary))
    file["model"]["unk_token"] = END
    file["added_tokens"] = [{"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                             "normalized": token == START, "special": True} for token in (START, END)]
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.post_processor = processors.RobertaProcessing((END, vocabulary[END]), (START, vocabulary[START]), trim_offsets=False,
                                                            add_prefix_space=False)
    return tokenizer


def make_model(kind, vocabulary):
    text = {"vocab_size": vocabulary, "max_position_embeddings": POSITIONS, "num_hidden_layers": 2}
    image = {"image_size": 32, "num_hidden_layers": 3}
    if kind == "quick_gelu":  # as OpenAI's: the wrong id of the end
        text |= {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "hidden_act": kind, "eos_token_id": 2}
        image |= {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 3, "patch_size": 8, "hidden_act": kind}
    else:  # as those that came later; patches that leave a margin
        text |= {"hidden_size": 40, "intermediate_size": 80, "num_attention_heads": 2, "hidden_act": kind, "eos_token_id": vocabulary - 1}
        image |= {"hidden_size": 24, "intermediate_size": 64, "num_attention_heads": 2, "patch_size": 7, "hidden_act": kind,
                  "layer_norm_eps": 1e-3}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=image, projection_dim=20)).eval()
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        with torch.no_grad():
            spread(name, weight.normal_(generator=generator), weight.shape)
    return model


@pytest.fixture(scope="module", params=["quick_gelu", "gelu"])
def folder(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("clip")
    tokenizer = make_tokenizer()
    model = make_model(request.param, tokenizer.get_vocab_size())
    model.save_pretrained(root)
    tokenizer.save(str(root / "tokenizer.json"))
    # one of the two with a scale of its own
    Processor(**({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]} if request.param == "gelu" else {})).save_pretrained(root)
    return root, model, tokenizer


def pictures(tmp_path):
    draw = random.Random(5)
    paths = []
    for width, height in SIZES:
        paths.append(tmp_path / f"{width}x{height}.png")
        small = Image.frombytes("RGB", (7, 5), draw.randbytes(105))
        small.resize((width, height), Image.Resampling.NEAREST).save(paths[-1])
    return paths


def probe(folder, tmp_path, texts=TEXTS, images=()):
    (tmp_path / "request.json").write_text(json.dumps({"texts": texts, "images": [str(path) for path in images]}))
    done = subprocess.run([PROBE, folder, tmp_path / "request.json", tmp_path / "output.safetensors"], capture_output=True, text=True,
                          check=False)
    return load_file(tmp_path / "output.safetensors") if done.returncode == 0 else done.stderr


def close(found, expected, tolerance=1e-5):
    return (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


def test_ids_pixels_and_features_equal_transformers(folder, tmp_path):
    root, model, tokenizer = folder
    paths = pictures(tmp_path)
    found = probe(root, tmp_path, images=paths)
    tokenizer.enable_truncation(POSITIONS)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(END), pad_token=END)
    rows = tokenizer.encode_batch(TEXTS)
    tokenizer.no_truncation()
    ids, mask = torch.tensor([row.ids for row in rows]), torch.tensor([row.attention_mask for row in rows])
    assert found["ids"].tolist() == ids.tolist() and "red</w>" in rows[0].tokens
    pixels = Processor.from_pretrained(root)([Image.open(path) for path in paths], return_tensors="pt")["pixel_values"].double()
    assert close(found["pixels"], pixels, 1e-6)
    exact = model.double()
    with torch.no_grad():
        text = exact.text_projection(exact.text_model(ids, attention_mask=mask).pooler_output)
        image = exact.visual_projection(exact.vision_model(pixels).pooler_output)
    assert close(found["text"], text) and close(found["image"], image)
    assert (text - text[0]).abs().max(1).values[1:].min() > 0.1 and (image - image[0]).abs().max(1).values[1:].min() > 0.01


def changed(root, tmp_path, file, edit):
    """The probe's message about a copy of the folder in which one JSON file was edited."""
    copy = tmp_path / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"):
        (copy / name).write_bytes((root / name).read_bytes())
    content = json.loads((copy / file).read_text())
    edit(content)
    (copy / file).write_text(json.dumps(content))
    return probe(copy, tmp_path)


def test_what_does_not_fit_together_is_refused_by_name(folder, tmp_path):
    root = folder[0]
    message = changed(root, tmp_path, "config.json", lambda c: c["vision_config"].update(num_hidden_layers=4))
    assert "vision_model.encoder.layers.3.self_attn.q_proj.weight" in message
    message = changed(root, tmp_path, "config.json", lambda c: c["text_config"].update(num_attention_heads=7))
    assert "text_config.num_attention_heads`: found 7, expected a divisor of hidden_size" in message
    message = changed(root, tmp_path, "config.json", lambda c: c.update(model_type="siglip"))
    assert 'model_type`: found "siglip", expected one of "clip"' in message
    message = changed(root, tmp_path, "config.json", lambda c: c["text_config"].update(eos_token_id=5))
    assert f"found {END} with id" in message and "expected 5, the network's eos_token_id" in message
    message = changed(root, tmp_path, "preprocessor_config.json", lambda c: c.update(crop_size=31))
    assert "preprocessor_config.json: field `crop_size`: found 31, expected the network's image_size 32" in message
    message = changed(root, tmp_path, "preprocessor_config.json", lambda c: c.update(resample=2))
    assert "`resample`: found 2" in message
    message = changed(root, tmp_path, "tokenizer.json", lambda t: t["added_tokens"].pop(0) and t["model"]["vocab"].update(
        {"<|start|>": t["model"]["vocab"].pop(START)}))
    assert f"found no token {START}, expected a CLIP tokenizer" in message


def test_missing_and_foreign_tensors_are_one_message(folder, tmp_path):
    root = folder[0]
    tensors = load_file(root / "model.safetensors")
    del tensors["text_projection.weight"]
    tensors["text_model.more"] = torch.zeros(1)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (copy / name).write_bytes((root / name).read_bytes())
    save_file(tensors, copy / "model.safetensors")
    message = probe(copy, tmp_path)
    assert "text_projection.weight" in message and "text_model.more" in message


def published_config(embedding, text, image):
    """The config.json of a model of OpenAI's: (hidden_size, intermediate_size, heads, layers), and patch_size of the picture's."""
    common = {"_name_or_path": "", "add_cross_attention": False, "architectures": None, "attention_dropout": 0.0, "dropout": 0.0,
              "hidden_act": "quick_gelu", "initializer_factor": 1.0, "initializer_range": 0.02, "layer_norm_eps": 1e-05,
              "projection_dim": embedding, "torch_dtype": None, "transformers_version": "4.16.0.dev0"}
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "patch_size")
    return {"architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592, "model_type": "clip",
            "projection_dim": embedding, "text_config_dict": None, "torch_dtype": "float32", "transformers_version": None,
            "vision_config_dict": None,
            "text_config": common | {"bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 77, "pad_token_id": 1,
                                     "model_type": "clip_text_model", "vocab_size": 49408} | dict(zip(sizes, text)),
            "vision_config": common | {"bos_token_id": None, "eos_token_id": None, "image_size": 224, "pad_token_id": None,
                                       "model_type": "clip_vision_model"} | dict(zip(sizes, image))}


# sizes and numbers of weights of openai/clip-vit-base-patch32 and openai/clip-vit-large-patch14
PUBLISHED = {"B/32": (published_config(512, (512, 2048, 8, 12), (768, 3072, 12, 12, 32)), 151_277_313),
             "L/14": (published_config(768, (768, 3072, 12, 12), (1024, 4096, 16, 24, 14)), 427_616_513)}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_sizes_load_and_equal_transformers(kind, tmp_path):
    config, count = PUBLISHED[kind]
    sparse = kind == "L/14" and not FULL
    root = tmp_path / "model"
    root.mkdir()
    (root / "config.json").write_text(json.dumps(config))
    (root / "preprocessor_config.json").write_text(json.dumps({
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}))
    tokenizer = make_tokenizer(49408)
    tokenizer.save(str(root / "tokenizer.json"))
    assert tokenizer.token_to_id(START) == 49406
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig.from_pretrained(root)).eval()
    assert sum(weight.numel() for weight in model.parameters()) == count
    weights = narrow_weights(model)
    places = {name: torch.arange(buffer.shape[1])[None] for name, buffer in model.named_buffers()}  # published, though no weights
    assert set(places) == {"text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"}
    write_tensors(root / "model.safetensors", weights | places, sparse)
    texts, path = ["A large Red square", "a cat"], pictures(tmp_path)[-1]
    found = probe(root, tmp_path, texts, [path])
    (root / "model.safetensors").unlink()  # too large for a folder that pytest keeps
    assert isinstance(found, dict), found
    assert found["text"].shape == (2, config["projection_dim"]) and found["image"].shape == (1, config["projection_dim"])
    assert all(features.isfinite().all() and features.std() > 0.01 for features in (found["text"], found["image"]))
    if sparse:
        return
    pixels = Processor.from_pretrained(root)(Image.open(path), return_tensors="pt")["pixel_values"].double()
    assert found["ids"].max() == 49407 and close(found["pixels"], pixels, 1e-6)
    model.load_state_dict(doubled(weights), assign=True)
    for name, buffer in places.items():
        model.get_submodule(name.removesuffix(".position_ids")).position_ids = buffer
    with torch.no_grad():
        text = model.text_projection(model.text_model(found["ids"]).pooler_output)
        image = model.visual_projection(model.vision_model(pixels).pooler_output)
    assert close(found["text"], text) and close(found["image"], image)
