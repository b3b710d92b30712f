# SPDX-License-Identifier: MIT
"""`mmada convert grow`: a checkpoint of LLaDA's kind with a larger vocabulary, against numpy."""
import json
import os
import subprocess

import numpy
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

PROGRAM = os.environ["MMADA_PROGRAM"]
WIDTH, OLD, NEW, CODES = 16, 300, 1800, 1024
WTE, HEAD = "model.transformer.wte.weight", "model.transformer.ff_out.weight"
# LLaDA's own keys: no codebook, no MMaDA sizes
CONFIG = {"architectures": ["LLaDAModelLM"], "model_type": "llada", "auto_map": {"AutoModel": "modeling_llada.LLaDAModelLM"}, "d_model": WIDTH,
          "n_heads": 2, "n_kv_heads": 2, "n_layers": 2, "mlp_hidden_size": 40, "mlp_ratio": 4, "vocab_size": OLD, "embedding_size": OLD,
          "max_sequence_length": 64, "rope": True, "rope_full_precision": True, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
          "layer_norm_type": "rms", "layer_norm_with_affine": True, "bias_for_layer_norm": False, "attention_layer_norm": False,
          "attention_layer_norm_with_affine": True, "include_bias": False, "include_qkv_bias": False, "block_type": "llama",
          "block_group_size": 1, "activation_type": "silu", "alibi": False, "alibi_bias_max": 8.0, "weight_tying": False,
          "scale_logits": False, "input_emb_norm": False, "multi_query_attention": None, "mask_token_id": 250, "eos_token_id": 251,
          "pad_token_id": 251, "flash_attention": False, "init_device": "meta", "init_fn": "mitchell", "init_std": 0.02, "use_cache": False}


def vocabulary_rows(generator, rows=OLD, width=WIDTH):
    mixing = torch.eye(width) + 0.3 * torch.randn(width, width, generator=generator)
    return torch.randn(rows, width, generator=generator) @ mixing + 0.01


def tensors(config=CONFIG, width=WIDTH):
    generator = torch.Generator().manual_seed(7)
    hidden = config["mlp_hidden_size"]
    made = {WTE: vocabulary_rows(generator, OLD, width)}
    for layer in range(config["n_layers"]):
        block = f"model.transformer.blocks.{layer}."
        for name, shape in {"q_proj": (width, width), "k_proj": (width, width), "v_proj": (width, width), "attn_out": (width, width),
                            "ff_proj": (hidden, width), "up_proj": (hidden, width), "ff_out": (width, hidden)}.items():
            made[f"{block}{name}.weight"] = torch.randn(*shape, generator=generator)
        for name in ("attn_norm", "ff_norm"):
            made[f"{block}{name}.weight"] = torch.ones(width)
    made["model.transformer.ln_f.weight"] = torch.ones(width)
    made[HEAD] = vocabulary_rows(generator, OLD, width)
    return made


def checkpoint(folder, weights, config=CONFIG, shards=1):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return folder
    names = list(weights)
    weight_map = {name: f"model-{1 + i * shards // len(names):05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        save_file({name: weights[name] for name in names if weight_map[name] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in weights.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def grow(model, output, *flags, status=0, size=NEW, codes=CODES):
    done = subprocess.run([PROGRAM, "convert", "grow", "--model", str(model), "-o", str(output), "--vocab-size", str(size), "--codebook-size",
                           str(codes), *map(str, flags)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


def stored(folder):
    everything = {}
    for file in sorted(folder.glob("*.safetensors")):
        everything.update(load_file(file))
    return everything


def assert_like(old, new):
    """The rows behind the old ones are normal with their mean and 1e-9 times their covariance."""
    old, new = (rows.double().numpy() for rows in (old, new))
    count, width = new.shape
    centred = old - old.mean(0)
    factor = numpy.linalg.cholesky(1e-9 * centred.T @ centred / len(old))
    white = numpy.linalg.solve(factor, (new - old.mean(0)).T).T  # standard normal, if they are
    # Six standard deviations each: of a mean, of (co)variances, and of the mean of chi-squared distances of `width` degrees
    assert numpy.abs(white.mean(0)).max() < 6 / count**0.5
    assert numpy.abs(white.T @ white / count - numpy.eye(width)).max() < 6 * (2 / count) ** 0.5
    mahalanobis = (white**2).sum(1)
    assert abs(mahalanobis.mean() - width) < 6 * (2 * width / count) ** 0.5
    # and one draw for all of them is none: neighbouring rows do not correlate
    assert abs((white[1:] * white[:-1]).sum(1).mean()) < 6 * (width / count) ** 0.5


@pytest.mark.parametrize("shards", [1, 3])
def test_new_rows_are_drawn_like_the_old_and_nothing_else_changes(tmp_path, shards):
    weights = tensors()
    model = checkpoint(tmp_path / "llada", weights, shards=shards)
    (model / "modeling_llada.py").write_text("# code\n")
    answer = json.loads(grow(model, tmp_path / "grown", "--json").stdout)
    assert answer["output"] == str(tmp_path / "grown")
    assert sorted(answer["matrices"], key=lambda matrix: matrix["name"]) == [{"name": name, "old_rows": OLD, "rows": NEW, "drawn": True} for name in (HEAD, WTE)]
    grown = stored(tmp_path / "grown")
    assert grown.keys() == weights.keys()
    for name, old in weights.items():
        assert grown[name].dtype == old.dtype
        if name in (WTE, HEAD):
            assert grown[name].shape == (NEW, WIDTH) and torch.equal(grown[name][:OLD], old)
            assert_like(old, grown[name][OLD:])
        else:
            assert torch.equal(grown[name], old)
    assert not torch.equal(grown[WTE][OLD:] - weights[WTE].mean(0), grown[HEAD][OLD:] - weights[HEAD].mean(0))
    assert {path.name for path in model.iterdir()} == {path.name for path in (tmp_path / "grown").iterdir()}
    for old in model.glob("*.safetensors"):
        with safe_open(old, "pt") as before, safe_open(tmp_path / "grown" / old.name, "pt") as after:
            assert before.keys() == after.keys() and before.metadata() == after.metadata()
    if shards > 1:
        index = json.loads((tmp_path / "grown/model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in grown.values())
        assert index["weight_map"] == json.loads((model / "model.safetensors.index.json").read_text())["weight_map"]


def test_config_has_the_new_sizes_and_the_program_reads_it(tmp_path):
    model = checkpoint(tmp_path / "llada", tensors(), CONFIG | {"image_token_offset": 290})
    grow(model, tmp_path / "grown")
    config = json.loads((tmp_path / "grown/config.json").read_text())
    assert config == CONFIG | {"image_token_offset": 290, "vocab_size": NEW, "embedding_size": NEW, "new_vocab_size": NEW,
                               "llm_vocab_size": OLD, "codebook_size": CODES}
    done = subprocess.run([PROGRAM, "info", "--model", tmp_path / "grown", "--json"], capture_output=True, text=True, check=True)
    layout = json.loads(done.stdout)["model"]["layout"]
    assert layout["vocab_size"] == NEW and layout["code_window"] == [290, 290 + CODES] and layout["text_window"] == [0, 290]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rows_are_the_drawn_ones_rounded(tmp_path, dtype):
    weights = {name: tensor.to(dtype) for name, tensor in tensors().items()}
    exact = {name: tensor.float() for name, tensor in weights.items()}
    grow(checkpoint(tmp_path / "half", weights), tmp_path / "grown half", "--seed", 5)
    grow(checkpoint(tmp_path / "exact", exact), tmp_path / "grown exact", "--seed", 5)
    half, full = stored(tmp_path / "grown half"), stored(tmp_path / "grown exact")
    for name in (WTE, HEAD):
        assert torch.equal(half[name][:OLD], weights[name])
        # fp32 and then half: two roundings may differ from one by a unit in the last place
        ulp = torch.finfo(dtype).eps * full[name][OLD:].abs() + torch.finfo(dtype).smallest_normal
        assert ((half[name][OLD:].float() - full[name][OLD:]).abs() <= ulp).all()


def test_the_seed_decides_the_rows(tmp_path):
    model = checkpoint(tmp_path / "llada", tensors())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        grow(model, tmp_path / name, "--seed", seed)
    first, again, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert first == again and first != other


def test_tied_embeddings_grow_alone_or_with_a_stored_copy_alike(tmp_path):
    weights = tensors()
    weights[HEAD] = weights[WTE].clone()
    config = CONFIG | {"weight_tying": True}
    grow(checkpoint(tmp_path / "copy", weights, config), tmp_path / "grown copy")
    grown = stored(tmp_path / "grown copy")
    assert torch.equal(grown[WTE], grown[HEAD])
    del weights[HEAD]
    grow(checkpoint(tmp_path / "tied", weights, config), tmp_path / "grown tied")
    alone = stored(tmp_path / "grown tied")
    assert HEAD not in alone and torch.equal(alone[WTE], grown[WTE])
    assert_like(weights[WTE], alone[WTE][OLD:])


def test_a_covariance_that_is_not_positive_definite_gives_the_mean_and_says_so(tmp_path):
    weights = tensors()
    weights[WTE][:, 3] = 0.5
    done = grow(checkpoint(tmp_path / "llada", weights), tmp_path / "grown")
    assert f"{WTE}: {OLD} to {NEW} rows, new rows are the mean: the covariance is not positive definite" in done.stderr
    rows = stored(tmp_path / "grown")[WTE][OLD:].double().numpy()
    mean = weights[WTE].double().numpy().mean(0)
    assert (rows == rows[0]).all() and numpy.abs(rows[0] - mean).max() <= numpy.abs(mean).max() * 2.0**-24 * 1.01


@pytest.mark.parametrize("size, codes, status, parts", [
    (OLD, CODES, 1, ["`vocab_size`", str(OLD)]),
    (OLD - 1, CODES, 1, ["`vocab_size`", str(OLD), str(OLD - 1)]),
    (NEW, NEW + 1, 1, ["`codebook_size`", str(NEW + 1)]),
    (NEW, NEW - 289, 1, ["image codes", "290"]),
    (0, CODES, 2, ["vocab-size"]),
])
def test_sizes_that_do_not_fit_are_refused_and_nothing_is_left_behind(tmp_path, size, codes, status, parts):
    model = checkpoint(tmp_path / "llada", tensors(), CONFIG | {"image_token_offset": 290})
    message = grow(model, tmp_path / "grown", status=status, size=size, codes=codes).stderr
    assert all(part in message for part in parts), message
    assert [path.name for path in tmp_path.iterdir()] == ["llada"]


def test_damaged_weights_and_taken_names_are_refused_and_nothing_is_left_behind(tmp_path):
    weights = tensors()
    weights[HEAD][5, 5] = float("nan")
    model = checkpoint(tmp_path / "llada", weights)
    assert HEAD in grow(model, tmp_path / "grown", status=1).stderr
    assert "free" in grow(model, model, status=1).stderr
    assert "none" in grow(model, tmp_path / "none/grown", status=1).stderr
    del weights[HEAD]
    assert "ff_out" in grow(checkpoint(tmp_path / "headless", weights), tmp_path / "grown", status=1).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["headless", "llada"]
