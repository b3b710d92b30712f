# SPDX-License-Identifier: MIT
"""System calls of a program that saves checkpoints: which there are, and what happens when one kills it or fails. Checkpoints are
judged by a reader that shares no code with the library."""
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess

import numpy as np
from safetensors.numpy import load_file

WRITER = os.environ.get("MMADA_CHECKPOINT_WRITER", "")
FULL = os.environ.get("MMADA_FULL") == "1"
ELEMENTS = 1000
CALLS = ["openat", "write", "fsync", "close", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"]


@dataclasses.dataclass(frozen=True)
class Call:
    """The `number`th call of a name in the thread that makes it, as strace counts."""
    name: str
    number: int
    text: str


def command(run, last, limit=2, elements=ELEMENTS):
    return [WRITER, str(run), str(last), str(limit), str(elements)]


def traced(arguments, log, *injections):
    """The program has one thread that saves, so that counts are the same each time. (--seccomp-bpf would leave injections out.)"""
    options = [part for injection in injections for part in ("-e", f"inject={injection}")]
    return subprocess.run(["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *options, *arguments],
                          capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})


def calls_of_saves(run, log):
    """What the program calls from the moment it has loaded the newest checkpoint, in order, and its answer; `run` is used up."""
    done = traced(command(run, 3), log)
    assert done.returncode == 0, done
    counts, found, saving = {}, [], False
    for line in log.read_text().splitlines():
        match = re.match(r"(\d+)\s+(\w+)\((.*)", line)
        if not match:
            continue
        thread, name, rest = match.groups()
        counts[thread, name] = counts.get((thread, name), 0) + 1
        if saving and not (name == "write" and rest.startswith(("1,", "2,"))):
            found.append(Call(name, counts[thread, name], rest))
        saving = saving or rest.startswith('1, "loaded')
    assert saving and {call.name for call in found} >= {"openat", "write", "fsync", "rename"}
    return found


def sample(calls, count):
    """All of them where the long run is asked for, else `count`: spread over the save, other ones of each name."""
    if FULL or len(calls) <= count:
        return calls
    chosen = random.Random(7)
    return [chosen.choice(calls[len(calls) * i // count:len(calls) * (i + 1) // count]) for i in range(count)]


def steps_visible(run, elements=ELEMENTS):
    """Steps of the checkpoints that can be seen; each of them is whole, or this fails."""
    steps = []
    for folder in pathlib.Path(run).glob("checkpoint-*"):
        step = int(folder.name.removeprefix("checkpoint-"))
        listed = json.loads((folder / "manifest.json").read_text())["files"]
        present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert present == {*listed, "manifest.json"}, folder
        for name, entry in listed.items():
            content = (folder / name).read_bytes()
            assert len(content) == entry["bytes"] and hashlib.sha256(content).hexdigest() == entry["sha256"], folder / name
        tensors = load_file(folder / "shard-0-of-1.safetensors")
        for kind, sign in (("master", 1), ("exp_avg", -1)):
            assert np.array_equal(tensors[f"w/{kind}"], np.full(elements, sign * step, np.float32)), folder
        assert json.loads((folder / "state.json").read_text())["step"] == step
        steps.append(step)
    return sorted(steps)


def acknowledged(output):
    return [int(step) for step in re.findall(r"^saved (\d+)$", output, re.M)]


def nothing_is_lost(run, done, elements=ELEMENTS):
    """The newest step that was acknowledged is there, whole, and no half one beside it; the next start goes on from it."""
    last = max([1, *acknowledged(done.stdout)])
    visible = steps_visible(run, elements)
    assert visible and visible[-1] >= last, (visible, done)
    return visible[-1]


def fresh(before, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(before, folder)
    return folder
