# SPDX-License-Identifier: MIT
"""`mmada logits` against the golden numbers."""
import json
import os
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

PROGRAM, DATA = os.environ["MMADA_PROGRAM"], os.environ["MMADA_TEST_DATA"]
GOLDEN = load_file(os.path.join(DATA, "forward.safetensors"))
IDS, MASK = GOLDEN["input_ids"].long(), GOLDEN["attention_mask"].long()


def logits(tmp_path, tensors, *options):
    save_file(tensors, tmp_path / "in.safetensors")
    command = [PROGRAM, "logits", "--model", os.path.join(DATA, "tiny_mmada"), "--input", str(tmp_path / "in.safetensors"),
               "--output", str(tmp_path / "out.safetensors"), *options]
    return subprocess.run(command, capture_output=True, text=True)


def answer(tmp_path, tensors, *options):
    result = logits(tmp_path, tensors, *options)
    assert result.returncode == 0, result.stderr
    return load_file(tmp_path / "out.safetensors"), result.stdout


def test_without_a_mask_everything_is_visible(tmp_path):
    out, text = answer(tmp_path, {"input_ids": IDS}, "--json")
    assert json.loads(text)["shape"] == [2, 40, 512]
    assert (out["logits"] - GOLDEN["logits"]).abs().max() < 2e-5
    assert out["logits"].dtype == torch.float32 and out["argmax"].dtype == torch.int64
    assert torch.equal(out["argmax"], out["logits"].argmax(-1))
    assert (out["logsumexp"] - out["logits"].double().logsumexp(-1)).abs().max() < 1e-5


def test_a_mask_hides_padding(tmp_path):
    out, _ = answer(tmp_path, {"input_ids": IDS, "attention_mask": MASK})
    valid = MASK.bool()
    assert (out["logits"] - GOLDEN["logits_masked"])[valid].abs().max() < 2e-5
    visible, _ = answer(tmp_path, {"input_ids": IDS, "attention_mask": MASK}, "--attention-mode", "none")
    assert (visible["logits"] - GOLDEN["logits"]).abs().max() < 2e-5


def test_columns_select_and_keep_the_full_softmax(tmp_path):
    columns = torch.tensor([400, 3, 511])
    out, _ = answer(tmp_path, {"input_ids": IDS, "columns": columns})
    assert (out["logits"] - GOLDEN["logits"][..., columns]).abs().max() < 2e-5
    assert (out["logsumexp"] - GOLDEN["logits"].double().logsumexp(-1)).abs().max() < 2e-5


def test_low_precision_stays_near(tmp_path):
    out, _ = answer(tmp_path, {"input_ids": IDS}, "--dtype", "bf16")
    assert 1e-5 < (out["logits"] - GOLDEN["logits"]).abs().max() < 0.3  # logits reach 5


@pytest.mark.parametrize("tensors, words", [
    ({"ids": IDS}, ["input_ids"]),
    ({"input_ids": IDS.int()}, ["input_ids", "int64"]),
    ({"input_ids": IDS + 500}, ["expected 0 to 511"]),
    ({"input_ids": IDS, "attention_mask": MASK[:, :5].contiguous()}, ["attention_mask", "[2, 5]"]),
    ({"input_ids": IDS, "attention_mask": torch.zeros_like(MASK)}, ["attention_mask", "one run of ones"]),
    ({"input_ids": IDS, "attention_mask": torch.arange(80).view(2, 40) % 2}, ["one run of ones"]),
    ({"input_ids": IDS, "columns": torch.tensor([512])}, ["columns", "512"]),
    ({"input_ids": IDS, "column": torch.tensor([1])}, ["column"]),
])
def test_bad_requests_are_one_error_and_write_nothing(tmp_path, tensors, words):
    result = logits(tmp_path, tensors)
    assert result.returncode == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_a_wrong_flag_is_a_usage_error(tmp_path):
    assert logits(tmp_path, {"input_ids": IDS}, "--dtype", "int3").returncode == 2
