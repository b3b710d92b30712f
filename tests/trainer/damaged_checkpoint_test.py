# SPDX-License-Identifier: MIT
"""A checkpoint without all that a run needs is refused, named, and nothing is trained: no part of it is taken as fresh. The manifest
agrees with what was left out, so that it is the contents that are looked at."""
import hashlib
import json
import re
import shutil
import struct

import pytest
from safetensors.numpy import load_file, save_file

from training_run import STEPS, config, metrics, straight, train

SHARD = "shard-0-of-1.safetensors"


def change_json(name, change):
    def apply(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))
    return apply


def state(change):
    return change_json("state.json", change)


def source_of(content):
    """A data position, by whichever flow comes first."""
    sources = content["train_step"]["sources"]
    return sources, sorted(sources)[0]


def change_shard(change):
    def apply(folder):
        tensors = load_file(folder / SHARD)
        change(tensors)
        save_file(tensors, folder / SHARD)
    return apply


def spoil(kind, value):
    """The last element of the first such tensor."""
    def apply(tensors):
        tensors[sorted(name for name in tensors if name.endswith(f"/{kind}"))[0]][-1] = value
    return change_shard(apply)


def cut_shard(folder):
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(content[:-64])


def lying_shard(folder):
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(struct.pack("<Q", 1 << 40) + content[8:])


def without_kind(content):
    for parameter in content["parameters"].values():
        parameter["kinds"] = [kind for kind in parameter["kinds"] if kind != "exp_avg_sq"]


def with_hole(content):
    next(iter(content["parameters"].values()))["slices"][0]["begin"] = 1


VARIANTS = {
    "no random state": (state(lambda c: c.pop("seed")), "`seed`"),
    "a random state that is none": (state(lambda c: c.update(seed="x")), "`seed`"),
    "no optimizer steps": (state(lambda c: c.pop("optimizer_steps")), "`optimizer_steps`"),
    "negative optimizer steps": (state(lambda c: c.update(optimizer_steps=-1)), "`optimizer_steps`"),
    "no data positions": (state(lambda c: c.pop("train_step")), "`train_step`"),
    "one data position missing": (state(lambda c: (lambda sources, key: sources.pop(key))(*source_of(c))), "the data position of this flow"),
    "a data position that is none": (state(lambda c: (lambda sources, key: sources.update({key: {"x": 1}}))(*source_of(c))), "field"),
    "a newer format": (state(lambda c: c.update(format_version=2)), "`format_version`"),
    "no second moments in the index": (change_json("index.json", without_kind), "missing"),
    "a hole in the index": (change_json("index.json", with_hole), "index"),
    "a shard without a moment": (change_shard(lambda t: t.pop(sorted(name for name in t if name.endswith("/exp_avg"))[0])), "expected it as the index says"),
    "an infinite weight": (spoil("master", float("inf")), "not finite in"),
    "a moment that is no number": (spoil("exp_avg", float("nan")), "not finite in"),
    "an averaged weight that is no number": (spoil("ema", float("nan")), "not finite in"),
    "a shard cut short": (cut_shard, SHARD),
    "a shard whose header lies": (lying_shard, SHARD),
}


# what --allow-partial goes on from, and what it then lets begin anew
DATA, MOMENTS, AVERAGES = "data's positions", "optimizer's moments", "averaged weights"
PARTIAL = {
    "no random state": [DATA], "a random state that is none": [DATA], "no optimizer steps": [DATA], "negative optimizer steps": [DATA],
    "no data positions": [DATA], "one data position missing": [DATA], "a data position that is none": [DATA],
    "no second moments in the index": [MOMENTS], "a shard without a moment": [MOMENTS], "a moment that is no number": [MOMENTS],
    "an averaged weight that is no number": [AVERAGES],
}


def agree(folder):
    """The manifest lists what is there now."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damaged(config, tmp_path, damage):
    folder = tmp_path / "checkpoint-5"
    shutil.copytree(f"{straight(config)}/checkpoint-5", folder)
    damage(folder)
    return folder


def is_refused(config, tmp_path, folder, words, *flags):
    log = train(config, f"experiment.output_dir={tmp_path}/run", "--resume", folder, *flags, check=1)
    errors = [line for line in log.splitlines() if line.startswith("mmada: ")]
    assert len(errors) == 1 and words in log and "checkpoint-5" in log, log
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def goes_on_without(config, tmp_path, folder, parts):
    log = train(config, f"experiment.output_dir={tmp_path}/run", "--resume", folder, "--allow-partial")
    begun = [part for part in (DATA, MOMENTS, AVERAGES) if re.search(f"{part}.* begin anew", log)]
    assert begun == parts and "not there: " in log, log
    assert sorted(metrics(tmp_path / "run")) == list(range(6, STEPS + 1))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_checkpoint_without_all_of_it_is_refused(config, tmp_path, name):
    damage, words = VARIANTS[name]
    folder = damaged(config, tmp_path, damage)
    agree(folder)
    is_refused(config, tmp_path, folder, words)
    if name in PARTIAL:
        goes_on_without(config, tmp_path, folder, PARTIAL[name])
    else:
        is_refused(config, tmp_path, folder, words, "--allow-partial")


@pytest.mark.parametrize("damage", [lambda folder: (folder / "state.json").unlink(), state(lambda content: content.update(optimizer_steps=4))],
                         ids=["missing", "changed"])
def test_a_state_that_is_not_what_was_saved_is_refused_or_begins_anew_where_that_is_allowed(config, tmp_path, damage):
    folder = damaged(config, tmp_path, damage)
    is_refused(config, tmp_path, folder, "state.json")
    goes_on_without(config, tmp_path, folder, [DATA])


def test_weights_that_are_not_what_was_saved_are_never_gone_on_from(config, tmp_path):
    folder = damaged(config, tmp_path, spoil("master", 0.125))
    is_refused(config, tmp_path, folder, SHARD, "--allow-partial")


def test_latest_takes_a_whole_checkpoint_before_a_newer_one_in_part(config, tmp_path):
    run = tmp_path / "run"
    for step in (5, 10):
        shutil.copytree(f"{straight(config)}/checkpoint-{step}", run / f"checkpoint-{step}")
    (run / "checkpoint-10" / "state.json").unlink()
    log = train(config, f"experiment.output_dir={run}", "--allow-partial")
    assert "at step 5" in log and "not there" not in log
    for step in (5, 10, 12):
        (run / f"checkpoint-{step}" / "state.json").unlink(missing_ok=True)
    log = train(config, f"experiment.output_dir={run}", check=1)
    assert "--allow-partial" in log
    log = train(config, f"experiment.output_dir={run}", f"training.max_train_steps={STEPS + 1}", "--allow-partial")
    assert f"checkpoint-{STEPS} at step {STEPS}" in log and f"{DATA}, and what else state.json should say, begin anew" in log
