# SPDX-License-Identifier: MIT
"""`mmada tokenize text` and `detokenize text` as a user meets them: answers on stdout, one error line, exit statuses."""
import json
import os
import subprocess

import pytest
import tokenizer_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    tokenizer_files.configurations()["llama3"].save(str(path / "tokenizer.json"))
    return path


def run(*arguments):
    return subprocess.run([os.environ["MMADA_PROGRAM"], *map(str, arguments)], capture_output=True, text=True, check=False)


def test_one_text_prints_ids_that_detokenize_takes_back(folder):
    text = "Hello <|eot_id|> wörld 😀"
    ids = run("tokenize", "text", "--tokenizer", folder, "--text", text)
    assert (ids.returncode, ids.stderr) == (0, "")
    kept = run("detokenize", "text", "--tokenizer", folder, "--ids", ids.stdout.strip(), "--keep-special")
    assert kept.stdout == text + "\n"
    assert run("detokenize", "text", "--tokenizer", folder, "--ids", ids.stdout.strip()).stdout == "Hello  wörld 😀\n"
    assert run("tokenize", "text", "--tokenizer", folder, "--text", "", "--json").stdout == "[[]]\n"


@pytest.mark.parametrize("arguments, status, message", [
    (["tokenize", "text", "--text", "a"], 2, "--tokenizer is required"),
    (["tokenize", "text", "--tokenizer", "T"], 2, "Exactly 1 option from [--text,--input] is required"),
    (["tokenize", "text", "--tokenizer", "T", "--text", "a", "--input", "b"], 2, "and 2 were given"),
    (["tokenize", "text", "--tokenizer", "/nowhere", "--text", "a"], 1, "/nowhere: found no tokenizer, expected tokenizer.json"),
    (["detokenize", "text", "--tokenizer", "T", "--ids", "1,x"], 2, "--ids"),
    (["detokenize", "text", "--tokenizer", "T", "--ids", "1,5000000"], 1, "token 1: found id 5000000, expected an id from 0 to 1509"),
])
def test_errors_are_one_line_and_an_exit_status(folder, arguments, status, message):
    result = run(*[folder if a == "T" else a for a in arguments])
    assert result.returncode == status
    assert result.stdout == ""
    assert message in result.stderr


@pytest.mark.parametrize("verb, content, message", [
    ("tokenize", '{"a": 1}', "found an object, expected a list of strings"),
    ("tokenize", '["a", 1]', "[1]: found 1, expected a string"),
    ("tokenize", '["a"', "not valid JSON"),
    ("detokenize", '[[1], "a"]', "[1]: found \"a\", expected a list of ids"),
    ("detokenize", "[[1.5]]", "[0]: found 1.5, expected an id"),
])
def test_bad_input_files_are_refused(folder, tmp_path, verb, content, message):
    (tmp_path / "in.json").write_text(content)
    result = run(verb, "text", "--tokenizer", folder, "--input", tmp_path / "in.json")
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr


def test_a_flat_id_list_is_one_text(folder, tmp_path):
    (ids,) = json.loads(run("tokenize", "text", "--tokenizer", folder, "--text", "plain", "--json").stdout)
    (tmp_path / "in.json").write_text(json.dumps(ids))
    assert run("detokenize", "text", "--tokenizer", folder, "--input", tmp_path / "in.json", "--json").stdout == '["plain"]\n'
