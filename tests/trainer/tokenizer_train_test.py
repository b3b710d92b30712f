# SPDX-License-Identifier: MIT
"""`mmada train` on the published image-tokenizer recipe, its network and pictures made small: every loss, both sides, resuming."""
import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from train_test import losses, metrics, train, weights_hash

RECIPE = os.path.join(os.path.dirname(__file__), "..", "..", "configs", "train", "image_tokenizer_256.json")
STEPS, SAVED = 6, 3
CONVOLUTIONS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module")
def lpips_folder(root):
    """A random VGG-16 of which every layer keeps the size of what passes it, with heads above zero."""
    rng, tensors, channels = np.random.default_rng(3), {}, 3
    for index, out in CONVOLUTIONS.items():
        tensors[f"features.{index}.weight"] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (out, channels, 3, 3)).astype(np.float32)
        tensors[f"features.{index}.bias"] = np.zeros(out, np.float32)
        channels = out
    for tap, width in enumerate((64, 128, 256, 512, 512)):
        tensors[f"lin{tap}.model.1.weight"] = rng.uniform(0, 1, (1, width, 1, 1)).astype(np.float32)
    (root / "lpips").mkdir()
    save_file(tensors, root / "lpips" / "model.safetensors")
    return root / "lpips"


def small(run, lpips_folder, *more):
    half = {"ch": 8, "ch_mult": [1, 1, 2, 2], "num_res_blocks": [0, 0, 1, 0], "z_channels": 6}
    architecture = {"encoder": half, "decoder": half, "norm_groups": 2}
    return [f"experiment.output_dir={run}", f"experiment.save_every={SAVED}", "experiment.log_every=1", "experiment.evaluate_every=3",
            "experiment.checkpoints_total_limit=0", f"model.architecture={json.dumps(architecture)}",
            'dataset.source={"type": "shapes", "task": "picture"}', "dataset.rows=2", "dataset.resolution=32",
            f"loss.lpips_from={lpips_folder}", "loss.adversarial.channels=4", "loss.adversarial.layers=2",
            "lr_scheduler.warmup_steps=1", f"training.max_train_steps={STEPS}", "training.gradient_accumulation_steps=2", "threads=1", *more]


@pytest.fixture(scope="module")
def straight(root, lpips_folder):
    train(RECIPE, *small(root / "straight", lpips_folder))
    return root / "straight"


def test_the_share_of_time_that_pictures_take_is_reported(straight):
    shares = [entry["data_time"] / entry["batch_time"] for entry in metrics(straight).values() if "data_time" in entry]
    assert len(shares) == STEPS and all(0 < share < 1 for share in shares)


def test_random_crops_of_a_source_with_another_fit_are_refused(root, lpips_folder):
    padded = 'dataset.source={"type": "shapes", "task": "picture", "fit": "pad"}'
    log = train(RECIPE, *small(root / "padded", lpips_folder, padded, "dataset.random_crop=true"), check=1)
    assert "the fit pad beside `random_crop`" in log


def state(run, step):
    return json.loads((run / f"checkpoint-{step}" / "state.json").read_text())


def masters(run, step):
    tensors = load_file(run / f"checkpoint-{step}" / "shard-0-of-1.safetensors")
    return {name[:-len("/master")]: value for name, value in tensors.items() if name.endswith("/master")}


def test_every_term_of_the_recipe_is_measured_and_finite(straight):
    found = losses(straight)
    assert sorted(found) == list(range(1, STEPS + 1))
    for name in ("loss", "grad_norm", "loss/l1", "loss/lpips", "loss/entropy", "loss/commitment", "loss/adversarial",
                 "loss/discriminator", "loss/lecam", "discriminator/real", "discriminator/fake"):
        assert all(np.isfinite(entry[name]) for entry in found.values()), name
    first = found[1]
    total = (first["loss/l1"] + first["loss/lpips"] + 0.1 * first["loss/entropy"] + 0.25 * first["loss/commitment"]
             + 0.1 * first["loss/adversarial"] + first["loss/discriminator"] + 0.05 * first["loss/lecam"])
    assert first["loss"] == pytest.approx(total, rel=1e-5)
    assert first["loss/lpips"] > 0.01
    for step in (3, 6):
        assert 0 < found[step]["eval/codes_share"] <= 1 and found[step]["eval/lpips"] > 0
        assert found[step]["eval/codes_used"] == pytest.approx(found[step]["eval/codes_share"] * 2**6)
        assert 1 <= found[step]["eval/perplexity"] <= found[step]["eval/codes_used"] * (1 + 1e-9)


def test_both_sides_are_trained_and_only_the_tokenizer_is_published(straight):
    early, late = masters(straight, SAVED), masters(straight, STEPS)
    assert any(name.startswith("discriminator.") for name in early)
    assert all((early[name] != late[name]).any() for name in early)
    published = load_file(straight / f"checkpoint-{STEPS}" / "unwrapped_model" / "model.safetensors")
    assert published.keys() == {name for name in late if not name.startswith("discriminator.")}


def test_resuming_changes_no_bit_of_either_side_or_of_the_running_estimates(straight, lpips_folder, tmp_path):
    shutil.copytree(straight / f"checkpoint-{SAVED}", tmp_path / f"checkpoint-{SAVED}")
    assert f"at step {SAVED}" in train(RECIPE, *small(tmp_path, lpips_folder))
    expected = losses(straight)
    assert losses(tmp_path) == {step: expected[step] for step in range(SAVED + 1, STEPS + 1)}
    assert weights_hash(tmp_path, STEPS) == weights_hash(straight, STEPS)
    lecam = state(straight, STEPS)["train_step"]["adversary"]["lecam"]
    assert state(tmp_path, STEPS)["train_step"]["adversary"]["lecam"] == lecam
    assert lecam["real"] != 0 and lecam["fake"] != 0


def test_the_estimates_move_once_a_step_however_many_micro_batches(straight):
    """With k equal micro-batches per step the averages decay by 0.999 a step: bounds from the logits' means."""
    found = losses(straight)
    lecam = state(straight, STEPS)["train_step"]["adversary"]["lecam"]
    expected = 0.0
    for step in range(1, STEPS + 1):
        expected = 0.999 * expected + 0.001 * found[step]["discriminator/real"]
    assert lecam["real"] == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_before_its_start_the_discriminator_is_neither_heard_nor_trained(straight, lpips_folder, tmp_path):
    train(RECIPE, *small(tmp_path, lpips_folder, "loss.adversarial.start_step=3", "loss.adversarial.adaptive=true"))
    found = losses(tmp_path)
    assert [step for step in found if "loss/discriminator" in found[step]] == [4, 5, 6]
    assert all(found[step]["adversarial_weight"] > 0 for step in (4, 5, 6))
    untouched, trained = (load_file(tmp_path / f"checkpoint-{step}" / "shard-0-of-1.safetensors") for step in (SAVED, STEPS))
    averages = [name for name in untouched if name.startswith("discriminator.") and name.endswith("/exp_avg_sq")]
    assert averages and not any(untouched[name].any() for name in averages) and all(trained[name].any() for name in averages)
    assert state(tmp_path, SAVED)["train_step"]["adversary"]["lecam"] == {"real": 0.0, "fake": 0.0}


def test_augmentation_changes_what_is_trained_on_and_is_the_same_again(straight, lpips_folder, tmp_path):
    train(RECIPE, *small(tmp_path, lpips_folder, "dataset.flip=false", "training.max_train_steps=1", "experiment.evaluate_every=0"))
    assert losses(tmp_path)[1]["loss/l1"] != losses(straight)[1]["loss/l1"]


def test_mistakes_in_the_recipe_are_named(lpips_folder, tmp_path):
    def refused(*overrides):
        return train(RECIPE, *small(tmp_path, lpips_folder, *overrides), check=1)

    assert "lpips_from" in refused("loss.lpips_from=")
    assert "no/such/folder" in refused("loss.lpips_from=no/such/folder")
    assert "entropy_over" in refused("loss.entropy_over=words")
    assert "adversarial.loss" in refused("loss.adversarial.loss=wasserstein")
    assert "did you mean `lecam`" in refused("loss.adversarial.lecan=1")
    assert "random_crop" in refused("dataset.fit=pad")
    assert not os.path.exists(tmp_path / "metrics.jsonl")
