# SPDX-License-Identifier: MIT
"""mmada eval --suite shapes on an untrained checkpoint: what is counted, in which files, and that batches change nothing."""
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PROGRAM = os.environ["MMADA_PROGRAM"]
DATA = Path(os.environ["MMADA_TEST_DATA"])
SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "<|soi|>", "<|eoi|>", "<|t2i|>", "<|mmu|>", "[iPAD]",
           "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SHAPES = {"canvas": 16, "sizes": {"small": 2, "large": 3.5}}
KINDS = ["describe", "what_at", "color", "where", "count", "compare"]


def run(*args):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)


def write_tokenizer(folder, texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def write_model(folder, tokenizer, width=32, layers=2, hidden=64, codes=256):
    vocabulary = tokenizer.get_vocab_size() + codes
    config = json.loads((DATA / "tiny_mmada" / "config.json").read_text())
    for key in ("llm_vocab_size", "image_token_offset", "mask_token_id", "eos_token_id", "pad_token_id"):
        config.pop(key, None)
    config.update(d_model=width, n_layers=layers, mlp_hidden_size=hidden, vocab_size=vocabulary, embedding_size=vocabulary,
                  new_vocab_size=vocabulary, codebook_size=codes, num_vq_tokens=16, max_text_length=64,
                  mask_token_id=tokenizer.token_to_id("<|mdm_mask|>"), eos_token_id=tokenizer.token_to_id("<|endoftext|>"))
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    prefix, weights = "model.transformer.", {}
    for layer in range(layers):
        block = f"{prefix}blocks.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "attn_out"):
            weights[f"{block}{name}.weight"] = torch.randn(width, width) * 0.2
        for name in ("ff_proj", "up_proj"):
            weights[f"{block}{name}.weight"] = torch.randn(hidden, width) * 0.2
        weights[f"{block}ff_out.weight"] = torch.randn(width, hidden) * 0.2
        for name in ("attn_norm", "ff_norm"):
            weights[f"{block}{name}.weight"] = torch.ones(width)
    for name in ("wte", "ff_out"):
        weights[f"{prefix}{name}.weight"] = torch.randn(vocabulary, width)
    weights[f"{prefix}ln_f.weight"] = torch.ones(width)
    save_file(weights, str(folder / "model.safetensors"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    assert run("data", "shapes", "-o", folder / "data", "-n", 40).returncode == 0
    lines = [json.loads(line) for line in open(folder / "data" / "shapes.jsonl", encoding="utf-8")]
    write_model(folder, write_tokenizer(folder, [text for line in lines for text in (line["caption"], line["reply"])]))
    (folder / "shapes.json").write_text(json.dumps(SHAPES))
    return folder


def evaluate(folder, *extra):
    done = run("eval", "--suite", "shapes", "--shapes", folder / "shapes.json", "--count", 3, "--tokens-per-step", 16,
               "--image-steps", 3, "--threads", 1, "--json", *extra)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_part_is_counted_and_batches_change_nothing(checkpoint, tmp_path):
    both = ("--model", checkpoint, "--image-tokenizer", DATA / "tiny_magvit", "--guidance-scale", 1.5)
    report = evaluate(checkpoint, *both, "--batch", 2, "--shuffled", "--output", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == report
    for split in ("seen", "heldout"):
        part = report["result"][split]
        assert [part["draw"][n]["total"] for n in "123"] == [3, 3, 3]
        assert list(part["questions"]) == KINDS + ["all"]
        assert part["questions"]["all"]["total"] == 15 and part["shuffled_questions"]["all"]["total"] == 15
        assert part["arithmetic"]["total"] == 3
        reconstruction = part["reconstruction"]
        assert reconstruction["total"] == 9 and 0 < reconstruction["psnr_db"] < 99
        assert 1 <= reconstruction["code_perplexity"] <= reconstruction["codes_used"] <= 256
        for entry in [*part["draw"].values(), *part["questions"].values(), part["arithmetic"]]:
            assert entry["share"] == entry["right"] / entry["total"] and entry["low"] <= entry["share"] <= entry["high"]
        assert all(entry["chance"] > 0 for entry in part["questions"].values())
    again = evaluate(checkpoint, *both, "--batch", 5, "--shuffled")
    assert again["result"] == report["result"]


def test_what_is_missing_is_left_out_or_said(checkpoint):
    tokenizer_only = evaluate(checkpoint, "--image-tokenizer", DATA / "tiny_magvit")["result"]["seen"]
    assert list(tokenizer_only) == ["reconstruction"]
    text_only = evaluate(checkpoint, "--model", checkpoint)["result"]["seen"]
    assert list(text_only) == ["arithmetic"]
    assert run("eval", "--suite", "shapes").returncode == 2
    nothing = run("eval", "--suite", "shapes", "--model", checkpoint, "--parts", "draw")
    assert nothing.returncode == 2 and "no part" in nothing.stderr
    table = run("eval", "--suite", "shapes", "--count", 2, "--image-tokenizer", DATA / "tiny_magvit")
    assert table.returncode == 0 and "reconstruction" in table.stdout and "heldout" in table.stdout
