# SPDX-License-Identifier: MIT
"""The text verbs on a checkpoint with a tokenizer, with random weights: which row was laid out, and what is printed."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PROGRAM, DATA = os.environ["MMADA_PROGRAM"], pathlib.Path(os.environ["MMADA_TEST_DATA"])
TOKENS = ["<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "<|soi|>", "<|eoi|>", "<|t2i|>", "<|mmu|>", "<|r2i|>", "[iPAD]",
          "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in TOKENS])
    tokenizer.save(str(directory / "tokenizer.json"))
    shutil.copy(DATA / "tiny_mmada" / "model.safetensors", directory)
    config = json.loads((DATA / "tiny_mmada" / "config.json").read_text())
    config.update(mask_token_id=tokenizer.token_to_id("<|mdm_mask|>"), eos_token_id=tokenizer.token_to_id("<|endoftext|>"),
                  pad_token_id=tokenizer.token_to_id("<|endoftext|>"), max_sequence_length=1024)
    (directory / "config.json").write_text(json.dumps(config))
    return directory, tokenizer


def run(verb, checkpoint, *flags, stdin=None):
    result = subprocess.run([PROGRAM, verb, "--model", str(checkpoint[0]), "--threads", "1", "--steps", "4", *flags],
                            capture_output=True, text=True, input=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


def turn(role, text):
    return f"<|start_header_id|>{role}<|end_header_id|>\n{text}<|eot_id|>"


OPEN = "<|start_header_id|>assistant<|end_header_id|>\n"
BLOCKS = ["--gen-length", "8", "--block-length", "4", "--no-early-stop"]


def test_text_lays_out_the_chat_template(checkpoint):
    tokenizer = checkpoint[1]
    answer = json.loads(run("text", checkpoint, "--prompt", "Why?", "--json", *BLOCKS))
    prompt = tokenizer.encode("<|startoftext|>" + turn("user", "Why?") + OPEN).ids
    assert answer["ids"][:-8] == prompt and answer["ids"][-8:] == answer["new_ids"]
    plain = run("text", checkpoint, "--prompt", "Why?", *BLOCKS)
    assert plain == answer["text"] + "\n"


def test_think_asks_for_reasoning_before_the_question(checkpoint):
    answer = json.loads(run("text", checkpoint, "--prompt", "Why?", "--json", "--think", *BLOCKS))
    row = checkpoint[1].decode(answer["ids"][:-8], skip_special_tokens=False)
    assert "user<|end_header_id|>\nYou should first think" in row and "answer here\nWhy?<|eot_id|>" in row


def test_chat_keeps_the_conversation(checkpoint):
    lines = run("chat", checkpoint, "--json", *BLOCKS, stdin="Hello\n\nWhy?\n").splitlines()
    first, second = map(json.loads, lines)
    expected = "<|startoftext|>" + turn("user", "Hello") + turn("assistant", first["text"].strip()) + turn("user", "Why?") + OPEN
    assert second["ids"][:-8] == checkpoint[1].encode(expected).ids
    assert first["new_ids"] != second["new_ids"]


def test_infill_fills_the_holes_of_a_text(checkpoint):
    tokenizer = checkpoint[1]
    answer = json.loads(run("infill", checkpoint, "--prompt", "One [MASK:3] three", "--json"))
    ids = answer["ids"]
    before, after = tokenizer.encode("<|startoftext|>One ").ids, tokenizer.encode(" three<|endoftext|>").ids
    assert ids[:len(before)] == before and ids[-len(after):] == after
    assert len(ids) == len(before) + 3 + len(after) and answer["new_ids"] == ids[len(before):len(before) + 3]
    assert tokenizer.token_to_id("<|mdm_mask|>") not in ids
    asked = json.loads(run("infill", checkpoint, "--prompt", "[MASK:2]!", "--question", "Why?", "--json"))
    assert asked["ids"][:-4] == tokenizer.encode("<|startoftext|>" + turn("user", "Why?") + OPEN).ids
