# SPDX-License-Identifier: MIT
"""examples/python/convert_checkpoint.py keeps every tensor bit for bit and refuses what it should."""
import importlib.util
import json
import os
import pickle
import sys
from types import SimpleNamespace
from unittest import mock

import torch
from safetensors.torch import load_file

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "convert_checkpoint.py")


spec = importlib.util.spec_from_file_location("convert_checkpoint", SCRIPT)
convert_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert_checkpoint)


def convert(source, output, *options):
    """The script's main() in this process (importing torch again for every case takes seconds)."""
    with mock.patch.object(sys, "argv", [SCRIPT, str(source), str(output), *options]):
        try:
            convert_checkpoint.main()
        except SystemExit as stop:
            return SimpleNamespace(returncode=1, stderr=str(stop.code))
    return SimpleNamespace(returncode=0, stderr="")


def tensors(seed, names="abc"):
    generator = torch.Generator().manual_seed(seed)
    return {f"model.{name}.weight": torch.randn(5, 7, generator=generator).to(torch.bfloat16) for name in names}


def read_all(directory):
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".safetensors"):
            found.update(load_file(os.path.join(directory, name)))
    return found


def check_equal(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_one_file(tmp_path):
    state = tensors(1)
    state["tied"] = state["model.a.weight"]           # shares memory with another
    state["view"] = state["model.b.weight"].t()       # not contiguous
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text("{}")
    result = convert(tmp_path, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    check_equal(read_all(tmp_path / "out"), state)
    assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "model.safetensors"]


def test_nested_model_key_of_the_image_tokenizer(tmp_path):
    torch.save({"model": tensors(2), "step": 7}, tmp_path / "vq.pt")
    assert convert(tmp_path / "vq.pt", tmp_path / "out", "--max-shard-gib", "1e-7").returncode == 0
    check_equal(read_all(tmp_path / "out"), tensors(2))
    assert len(os.listdir(tmp_path / "out")) == 4  # a shard for each tensor of 70 bytes, and the index


def test_index_of_shards(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    first, second = tensors(3, "ab"), tensors(4, "cd")
    torch.save(first, source / "pytorch_model-00001-of-00002.bin")
    torch.save(second, source / "pytorch_model-00002-of-00002.bin")
    weight_map = {name: "pytorch_model-00001-of-00002.bin" for name in first}
    weight_map.update({name: "pytorch_model-00002-of-00002.bin" for name in second})
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert convert(source, tmp_path / "out").returncode == 0
    check_equal(read_all(tmp_path / "out"), {**first, **second})
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * 5 * 7 * 2
    assert set(index["weight_map"]) == set(weight_map)

    weight_map["model.e.weight"] = "pytorch_model-00002-of-00002.bin"
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    result = convert(source, tmp_path / "other")
    assert result.returncode == 1 and "model.e.weight" in result.stderr
    assert not (tmp_path / "other").exists()


def test_existing_output_is_left_alone(tmp_path):
    torch.save(tensors(5), tmp_path / "a.ckpt")
    (tmp_path / "out").mkdir()
    result = convert(tmp_path / "a.ckpt", tmp_path / "out")
    assert result.returncode == 1 and "exists already" in result.stderr
    assert os.listdir(tmp_path / "out") == []


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_code_in_a_pickle_does_not_run(tmp_path):
    with open(tmp_path / "evil.bin", "wb") as file:
        pickle.dump({"w": Attack(str(tmp_path / "ran"))}, file)
    torch.save({"w": Attack(str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    for name in ("evil.bin", "evil.pt"):
        result = convert(tmp_path / name, tmp_path / "out")
        assert result.returncode == 1
        assert not (tmp_path / "out").exists() and not (tmp_path / "ran").exists()


def test_entries_that_are_no_tensors_are_named(tmp_path):
    torch.save({"w": torch.ones(2), "epoch": 3}, tmp_path / "x.pt")
    result = convert(tmp_path / "x.pt", tmp_path / "out")
    assert result.returncode == 1 and "epoch" in result.stderr
