# SPDX-License-Identifier: MIT
"""SentencePiece models through `mmada tokenize text`, against the sentencepiece package."""
import io
import json
import os
import subprocess

import pytest
import sentencepiece
import tokenizer_files

PROGRAM = os.environ["MMADA_PROGRAM"]
# Spelled-out control pieces are ids to us and plain text to the package, so the oracle strings have none.
STRINGS = [s for s in tokenizer_files.hard_strings() if "\0" not in s]


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)


def run_json(*arguments):
    result = run(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.model"
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tokenizer_files.training_text()), model_writer=proto, vocab_size=800, model_type=request.param,
        byte_fallback=True, user_defined_symbols=["<think>", "</think>"], control_symbols=["<|eot_id|>"], minloglevel=2,
        num_threads=1, character_coverage=0.98)
    path.write_bytes(proto.getvalue())
    return path, sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())


def test_ids_and_texts_equal_the_package(model, tmp_path):
    path, oracle = model
    texts = [s for s in STRINGS if "<|eot_id|>" not in s]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    ids = run_json("tokenize", "text", "--tokenizer", path, "--input", tmp_path / "texts.json")
    assert [s for s, a in zip(texts, ids) if a != oracle.encode(s)] == []
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    decoded = run_json("detokenize", "text", "--tokenizer", path.parent, "--input", tmp_path / "ids.json")
    assert decoded == [oracle.decode(i) for i in ids]


def test_control_pieces_are_recognised_and_skipped_on_request(model):
    path, oracle = model
    eot, bos = oracle.piece_to_id("<|eot_id|>"), oracle.bos_id()
    (ids,) = run_json("tokenize", "text", "--tokenizer", path, "--text", "<s>good<|eot_id|>")
    assert ids == [bos, *oracle.encode("good"), eot]
    listed = ",".join(map(str, ids))
    assert run_json("detokenize", "text", "--tokenizer", path, "--ids", listed) == ["good"]
    assert run_json("detokenize", "text", "--tokenizer", path, "--ids", listed, "--keep-special") == ["<s>good<|eot_id|>"]


def test_bad_models_and_ids_are_one_clear_error(model, tmp_path):
    path, oracle = model
    result = run("detokenize", "text", "--tokenizer", path, "--ids", "1,99999")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"token 1: found id 99999, expected an id from 0 to {oracle.get_piece_size() - 1}" in result.stderr
    for name, content in {"empty.model": b"", "noise.model": os.urandom(1000), "cut.model": path.read_bytes()[:1000]}.items():
        (tmp_path / name).write_bytes(content)
        result = run("tokenize", "text", "--tokenizer", tmp_path / name, "--text", "a")
        assert result.returncode == 1, name
        assert name in result.stderr
