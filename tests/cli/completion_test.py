# SPDX-License-Identifier: MIT
"""The completion scripts, run by the shells they are for (bash always, zsh and fish where they are installed)."""
import os
import re
import shutil
import subprocess

import pytest

PROGRAM = os.environ["MMADA_PROGRAM"]


def script(shell):
    return subprocess.run([PROGRAM, "completion", shell], capture_output=True, text=True, check=True).stdout


def bash_words(*line):
    """What bash offers for the last word of the line."""
    words = " ".join(f"'{word}'" for word in line)
    ask = f"{script('bash')}\nCOMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _mmada; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


def test_bash_offers_the_verbs_and_flags_that_the_program_has():
    verbs = bash_words("mmada", "")
    assert {"text", "t2i", "train", "info", "completion"} <= set(verbs)
    assert bash_words("mmada", "ex") == ["extrapolate"]
    assert {"image", "text"} < set(bash_words("mmada", "tokenize", ""))
    assert "--contact-sheet" in bash_words("mmada", "t2i", "--prompt", "a cat", "--c")
    assert "--prompt-ids" in bash_words("mmada", "text", "--p")  # of an option group
    assert bash_words("mmada", "tokenize", "image", "--pix") == ["--pixels"]
    assert "--pixels" not in bash_words("mmada", "tokenize", "text", "--")


def test_every_flag_of_the_help_is_offered():
    help_text = subprocess.run([PROGRAM, "t2i", "--help"], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"^\s+(?:-\w,)?(--[a-z0-9-]+)", help_text, re.M))
    assert len(named) > 20 and named == set(bash_words("mmada", "t2i", "--"))


def test_an_unknown_shell_is_a_usage_error():
    assert subprocess.run([PROGRAM, "completion", "csh"], capture_output=True).returncode == 2


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_accepts_its_script(tmp_path):
    (tmp_path / "_mmada").write_text(script("zsh"))
    ask = (f"autoload -U compinit && compinit -D -u && source '{tmp_path}/_mmada' && "
           "_describe() { shift; print -l -- ${(P)1} }; _files() { print FILES }; "
           "words=(mmada tokenize ''); CURRENT=3; PREFIX=''; _mmada")
    lines = subprocess.run(["zsh", "-f", "-c", ask], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["image", "text"]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_offers_the_same(tmp_path):
    ask = f"{script('fish')}\ncomplete -C 'mmada tokenize image --pix'; complete -C 'mmada tokenize '"
    lines = subprocess.run(["fish", "--no-config", "-c", ask], capture_output=True, text=True, check=True,
                           env=os.environ | {"HOME": str(tmp_path)}).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines if not line.startswith("-h")] == ["--pixels", "image", "text"]
