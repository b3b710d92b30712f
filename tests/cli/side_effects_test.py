# SPDX-License-Identifier: MIT
"""No code in data and no way out of the folder: what the program asks of the system while it reads foreign files."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

PROGRAM = os.environ["MMADA_PROGRAM"]
POCKET = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "pocket"
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def calls(arguments, tmp_path, status=0):
    """The execve, network and open calls of a command and its threads."""
    log = tmp_path / "calls.log"
    command = ["strace", "-f", "-qq", "-o", log, "-e", "trace=execve,socket,connect,bind,open,openat", PROGRAM, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("this machine allows no tracing")
    assert done.returncode == status, done.stderr
    return log.read_text().splitlines()


@pytest.mark.parametrize("arguments", [
    ["text", "--model", POCKET / "mmada", "--sampler", "pocket_text", "--prompt", "what is 1+2?"],
    ["mmu", "--model", POCKET / "mmada", "--image-tokenizer", POCKET / "image_tokenizer", "--sampler", "pocket_text",
     "--prompt", "what color is the star?", "--image", POCKET / "scene.png"],
    ["info", "--model", POCKET / "mmada", "--image-tokenizer", POCKET / "image_tokenizer"],
    ["tokenize", "image", "--image-tokenizer", POCKET / "image_tokenizer", "--image", POCKET / "scene.png"],
])
def test_reading_a_model_starts_no_program_and_opens_no_connection(arguments, tmp_path):
    log = calls(arguments, tmp_path)
    assert len([line for line in log if "execve(" in line]) == 1  # the program itself
    assert [line for line in log if re.search(r"\b(socket|connect|bind)\(", line)] == []


@pytest.mark.parametrize("name", ["../outside.safetensors", "a/../../outside.safetensors", "/etc/outside.safetensors",
                                  "//outside.safetensors", "..\\outside.safetensors", "outside.safetensors\u0000.safetensors"])
def test_an_index_opens_nothing_outside_its_folder(name, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(POCKET / "mmada", model, ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "outside.safetensors").symlink_to(POCKET / "mmada" / "model.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.transformer.wte.weight": name}}))
    log = calls(["info", "--model", model], tmp_path, status=1)
    assert any("model.safetensors.index.json" in line for line in log)
    assert [line for line in log if "outside" in line] == []
