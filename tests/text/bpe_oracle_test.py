# SPDX-License-Identifier: MIT
"""`mmada tokenize text` and `detokenize text` against the tokenizers package, id for id."""
import json
import os
import subprocess
import unicodedata

import pytest
import tokenizer_files

os.environ["TOKENIZERS_PARALLELISM"] = "false"
PROGRAM = os.environ["MMADA_PROGRAM"]
STRINGS = tokenizer_files.hard_strings()
CONFIGURATIONS = tokenizer_files.configurations()


def run(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_there_are_enough_strings():
    assert len(set(STRINGS)) >= 500
    assert len(CONFIGURATIONS) >= 43


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_ids_and_texts_equal_the_package(name, tmp_path):
    oracle = CONFIGURATIONS[name]
    oracle.save(str(tmp_path / "tokenizer.json"))
    # A mark at the end of words shows every cut, so that the package's Unicode, newer than PCRE2's, shows too.
    texts = [s for s in STRINGS if "word_end" not in name or "Cn" not in map(unicodedata.category, s)]
    assert len(texts) > 500
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    ids = run("tokenize", "text", "--tokenizer", tmp_path, "--input", tmp_path / "texts.json", "--json")
    expected = [oracle.encode(s, add_special_tokens=False).ids for s in texts]
    assert [s for s, a, b in zip(texts, ids, expected) if a != b] == []

    if name.startswith("split_"):
        return  # the decoder is the same in all of them
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    special = any(token.special for token in oracle.get_added_tokens_decoder().values() if token.content in tokenizer_files.ADDED)
    for keep in (False, True) if special else (True,):
        texts = run("detokenize", "text", "--tokenizer", tmp_path / "tokenizer.json", "--input", tmp_path / "ids.json", "--json",
                    *(["--keep-special"] if keep else []))
        assert texts == [oracle.decode(i, skip_special_tokens=not keep) for i in ids]


def test_single_tokens_decode_as_the_package_does(tmp_path):
    for name in ("llama3", "byte_fallback", "unknown"):
        oracle = CONFIGURATIONS[name]
        oracle.save(str(tmp_path / "tokenizer.json"))
        ids = [[i] for i in range(oracle.get_vocab_size())]
        (tmp_path / "ids.json").write_text(json.dumps(ids))
        texts = run("detokenize", "text", "--tokenizer", tmp_path, "--input", tmp_path / "ids.json", "--json", "--keep-special")
        assert texts == [oracle.decode(i, skip_special_tokens=False) for i in ids]
