# SPDX-License-Identifier: MIT
"""The BPE trainer against the tokenizers package's BpeTrainer: the same vocabulary, the same merges, the same ids."""
import json
import os
import subprocess

import pytest
import tokenizer_files
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>"]
TEXTS = tokenizer_files.training_text() + ["aaaaaaa aaa aa aaaaa abababab baaab", "the cat " * 50, "", "12 + 34 = 46\n"]


def train(**options):
    request = {"texts": TEXTS, "special_tokens": SPECIAL, **options}
    return subprocess.run([os.environ["MMADA_TRAIN_BPE"]], input=json.dumps(request), capture_output=True, text=True, check=False)


def package(vocab_size, individual_digits=False, min_frequency=0):
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level]) if individual_digits else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=min_frequency, show_progress=False))
    return tokenizer


@pytest.mark.parametrize("options", [{"vocab_size": 259}, {"vocab_size": 260}, {"vocab_size": 512, "individual_digits": True},
                                     {"vocab_size": 1000}, {"vocab_size": 100000}, {"vocab_size": 3000, "min_frequency": 30}])
def test_vocabulary_merges_and_ids_equal_the_package(options):
    result = train(**options)
    assert result.returncode == 0, result.stderr
    oracle = package(**options)
    ours, theirs = json.loads(result.stdout), json.loads(oracle.to_str())
    assert ours["model"]["vocab"] == theirs["model"]["vocab"]
    assert ours["model"]["merges"] == [" ".join(merge) for merge in theirs["model"]["merges"]]
    loaded = Tokenizer.from_str(result.stdout)
    for text in tokenizer_files.hard_strings():
        assert loaded.encode(text).ids == oracle.encode(text).ids
        assert loaded.decode(loaded.encode(text).ids) == oracle.decode(oracle.encode(text).ids)


def test_training_is_deterministic_and_passes_over_added_tokens():
    texts = ["<think>one two</think> three<|endoftext|>"] * 10
    options = {"vocab_size": 400, "added_tokens": ["<think>", "</think>"], "texts": texts}
    first, second = train(**options), train(**options)
    assert first.stdout == second.stdout
    tokenizer = Tokenizer.from_str(first.stdout)
    assert sorted(token for token in tokenizer.get_vocab() if "think" in token) == ["</think>", "<think>"]
    assert tokenizer.decode(tokenizer.encode(texts[0]).ids) == "<think>one two</think> three"
    assert tokenizer.encode("<think>").ids == [3]


def test_a_vocabulary_below_the_bytes_is_refused():
    result = train(vocab_size=258)
    assert result.returncode == 1
    assert "vocab_size: found 258, expected 259 (3 tokens and 256 bytes)" in result.stderr
    assert "a second time" in train(vocab_size=300, special_tokens=["<a>", "<a>"]).stderr
