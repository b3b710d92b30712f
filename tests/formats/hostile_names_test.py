# SPDX-License-Identifier: MIT
"""No name that a shard index holds makes the reader touch a file outside the index's folder: the system calls tell."""

import json
import os
import re
import shutil
import subprocess

import pytest

PROBE = os.environ["MMADA_FORMATS_PROBE"]
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

STEPS = ["..", "../..", "../../..", "", ".", "./..", "a", "a/..", "a/../..", "~", "//", "/", "\\..", "..\\..", "C:", "c:\\", "\0", "..\0",
         "\n", "%2e%2e", "\uff0e\uff0e", "file:", "http://host", "$HOME", "${HOME}", "`id`", "*", "con", "-", "\u202e.."]
NAMES = [f"{step}/outside.safetensors" for step in STEPS] + [f"{step}\\outside.safetensors" for step in STEPS[:12]] + [
    "", ".", "..", "/", "/etc/passwd", "/proc/self/environ", "/dev/zero", "con", "nul.safetensors\0", "outside.safetensors\0.safetensors",
    "outside", "a" * 4096 + ".safetensors", "/" * 4096 + "outside.safetensors", "../" * 1000 + "outside.safetensors",
    ".hidden.safetensors", "m.bin", "m.pt", "m.safetensors/", "m.safetensors/../../outside.safetensors", "\x1b[2J.safetensors"]


def folder_with(name, root):
    """root/model holds an index that names `name`, with files to fall for around it."""
    model = root / "model"
    (model / "a").mkdir(parents=True)
    for bait in root / "outside.safetensors", root.parent / "outside.safetensors", model / "a" / "outside.safetensors":
        bait.write_bytes(b"\2\0\0\0\0\0\0\0{}")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    return model


def test_hostile_names_open_nothing_outside_the_folder(tmp_path):
    assert len(set(NAMES)) >= 50
    folders = [folder_with(name, tmp_path / str(number)) for number, name in enumerate(NAMES)]
    log = tmp_path / "calls.log"
    done = subprocess.run(["strace", "-f", "-qq", "-s", "10000", "-o", log, "-e", "trace=%file", PROBE, "checkpoint", *folders],
                          capture_output=True, text=True, errors="replace")
    if "ptrace" in done.stderr:
        pytest.skip("this machine allows no tracing")
    assert done.returncode == 0, done.stderr
    verdicts = done.stdout.splitlines()
    assert len(verdicts) == len(NAMES)
    for folder, verdict in zip(folders, verdicts):
        assert verdict.startswith(str(folder)) and "expected the name of a .safetensors file in the same folder" in verdict, verdict
    expected = {str(folder) for folder in folders} | {f"{folder}/{stem}.safetensors{end}" for folder in folders
                                                      for stem in ("model", "pytorch_model") for end in ("", ".index.json")}
    started = False
    for line in log.read_text(errors="replace").splitlines():
        paths = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        # before the first of them, the loader opens libraries
        started = started or ("execve(" not in line and any(path in expected for path in paths))
        if started:
            # "" belongs to a call on an open descriptor, .gcda to a build that measures coverage
            assert all(path in expected or path == "" or path.endswith(".gcda") for path in paths), line
    assert started
