# SPDX-License-Identifier: MIT
"""`mmada info` says what a checkpoint holds without reading its weights."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from safetensors import safe_open

PROGRAM = os.environ["MMADA_PROGRAM"]
DATA = pathlib.Path(os.environ["MMADA_TEST_DATA"])
POCKET = DATA.parents[1] / "examples" / "pocket"


def info(*flags, status=0):
    done = subprocess.run([PROGRAM, "info", *map(str, flags)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def stored(path):
    with safe_open(path, "np") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}


def stored_type(path):
    with safe_open(path, "np") as file:
        return file.get_slice(next(iter(file.keys()))).get_dtype()


def count(shapes):
    total = 0
    for shape in shapes.values():
        elements = 1
        for size in shape:
            elements *= size
        total += elements
    return total


def test_a_model_in_numbers():
    answer = json.loads(info("--model", POCKET / "mmada", "--json"))["model"]
    config = json.loads((POCKET / "mmada/config.json").read_text())
    for key in ("d_model", "n_layers", "n_heads", "n_kv_heads", "mlp_hidden_size", "max_sequence_length", "weight_tying"):
        assert answer["architecture"][key] == config[key]
    shapes = stored(POCKET / "mmada/model.safetensors")
    size = (POCKET / "mmada/model.safetensors").stat().st_size
    assert answer["weights"] == {"parameters": count(shapes), "bytes": size, "elements": {stored_type(POCKET / "mmada/model.safetensors"): count(shapes)},
                                 "files": {"model.safetensors": {"bytes": size, "tensors": len(shapes)}}}
    assert answer["tokenizer"] == {"kind": "byte-level BPE", "ids": config["image_token_offset"], "file": "tokenizer.json",
                                   "bytes": (POCKET / "mmada/tokenizer.json").stat().st_size}
    layout = answer["layout"]
    offset, end = config["image_token_offset"], config["image_token_offset"] + config["codebook_size"]
    assert layout["text_window"] == [0, offset] and layout["code_window"] == [offset, end]
    assert layout["vocab_size"] == config["vocab_size"]
    assert layout["special_ids"]["mask"] == config["mask_token_id"] and layout["special_ids"]["eos"] == config["eos_token_id"]


def test_an_image_tokenizer_in_numbers():
    answer = json.loads(info("--image-tokenizer", POCKET / "image_tokenizer", "--json"))
    assert "model" not in answer
    answer = answer["image_tokenizer"]
    assert answer["architecture"]["factor"] == 8 and answer["architecture"]["codebook_size"] == 256
    assert answer["architecture"]["encoder"]["ch_mult"] == [1, 2, 4, 4]
    shapes = stored(POCKET / "image_tokenizer/model.safetensors")
    assert answer["weights"]["parameters"] == count({n: s for n, s in shapes.items() if not n.startswith("quantize.")})


def test_a_checkpoint_without_tokenizer_and_pictures_to_read():
    text = info("--model", DATA / "tiny_mmada", "--image-tokenizer", DATA / "tiny_magvit")
    assert "\n  tokenizer           none\n" in text and "\n    d_model           32\n" in text
    assert "\nimage_tokenizer\n" in text and "version" in text


def test_weights_are_not_read(tmp_path):
    """A file whose data are a hole of 8 GB in the disk: reading it would take minutes and the memory."""
    model = tmp_path / "model"
    shutil.copytree(DATA / "tiny_mmada", model)
    config = json.loads((model / "config.json").read_text())
    width, layers = 4096, 8
    config.update(d_model=width, n_heads=32, n_kv_heads=32, n_layers=layers, mlp_hidden_size=12288)
    (model / "config.json").write_text(json.dumps(config))
    header, at = {}, 0

    def add(name, *shape):
        nonlocal at
        elements = 1
        for size in shape:
            elements *= size
        header[f"model.transformer.{name}.weight"] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * elements]}
        at += 4 * elements

    add("wte", 512, width), add("ff_out", 512, width), add("ln_f", width)
    for block in range(layers):
        for name, *shape in [("attn_norm", width), ("ff_norm", width), ("q_proj", width, width), ("k_proj", width, width),
                             ("v_proj", width, width), ("attn_out", width, width), ("ff_proj", 12288, width),
                             ("up_proj", 12288, width), ("ff_out", width, 12288)]:
            add(f"blocks.{block}.{name}", *shape)
    text = json.dumps(header).encode()
    with open(model / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    done = subprocess.run(["/bin/sh", "-c", "ulimit -v 8000000; exec \"$@\"", "sh", PROGRAM, "info", "--model", str(model), "--json"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["weights"]["parameters"] == at // 4 > 1_700_000_000


@pytest.mark.parametrize("flag", ["--model", "--image-tokenizer"])
def test_a_folder_that_holds_none_is_one_error(flag, tmp_path):
    error = info(flag, tmp_path, status=1)
    assert error == f"mmada: {tmp_path}/config.json: cannot be opened for reading: No such file or directory\n"


def test_tensors_that_do_not_fit_are_listed(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(POCKET / "mmada", model, ignore=shutil.ignore_patterns("*.safetensors"))
    (model / "model.safetensors").symlink_to(POCKET / "mmada" / "model.safetensors")
    config = json.loads((model / "config.json").read_text())
    config["n_layers"] -= 1
    (model / "config.json").write_text(json.dumps(config))
    unexpected = f"unexpected: model.transformer.blocks.{config['n_layers']}.attn_norm.weight [{config['d_model']}]"
    assert unexpected in info("--model", model, status=1)
