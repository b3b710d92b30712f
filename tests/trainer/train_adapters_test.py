# SPDX-License-Identifier: MIT
"""Training of LoRA and DoRA adapters: over processes, resumed, upon another base, merged by training and by `mmada convert merge`."""
import json
import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from training_run import PROGRAM, STEPS, config, losses, straight, train, weights_hash

RANK, ALPHA = 4, 6
TARGETS = ["q_proj", "v_proj", "up_proj", "ff_out"]


@pytest.fixture(scope="module")
def adapting(config):
    """A configuration that trains DoRA on the straight run's model, and that run of one process."""
    settings = json.loads(config.read_text())
    settings["model"] = {"from": f"{straight(config)}/checkpoint-{STEPS}/unwrapped_model"}
    settings["lora"] = {"rank": RANK, "alpha": ALPHA, "targets": TARGETS, "dora": True}
    settings["experiment"]["output_dir"] = f"{config.parent}/adapted"
    path = config.parent / "adapting.json"
    path.write_text(json.dumps(settings))
    train(path)
    return path


def adapted(config):
    return f"{config.parent}/adapted"


def base(config):
    return f"{straight(config)}/checkpoint-{STEPS}/unwrapped_model"


def weights(folder):
    return load_file(f"{folder}/model.safetensors")


@pytest.fixture(scope="module")
def pair(config, adapting):
    """The same run of two processes."""
    run = f"{config.parent}/adapted-pair"
    train(adapting, f"experiment.output_dir={run}", "--nproc", 2)
    return run


def test_two_processes_adapt_as_one(config, pair):
    found, expected = losses(pair), losses(adapted(config))
    for step, entry in expected.items():
        assert found[step]["loss"] == pytest.approx(entry["loss"], rel=1e-6), step
        assert found[step]["grad_norm"] == pytest.approx(entry["grad_norm"], rel=1e-5), step
    for name in ("unwrapped_model", "unwrapped_model_ema"):
        ours, theirs = (weights(f"{run}/checkpoint-{STEPS}/{name}") for run in (pair, adapted(config)))
        assert max(np.abs(ours[key] - theirs[key]).max() for key in theirs) < 1e-6


def test_resuming_adapters_changes_no_bit_and_one_process_goes_on_from_two(config, adapting, pair, tmp_path):
    shutil.copytree(f"{adapted(config)}/checkpoint-5", tmp_path / "again" / "checkpoint-5")
    assert "at step 5" in train(adapting, f"experiment.output_dir={tmp_path}/again")
    expected = losses(adapted(config))
    assert losses(tmp_path / "again") == {step: expected[step] for step in range(6, STEPS + 1)}
    assert weights_hash(tmp_path / "again") == weights_hash(adapted(config))
    shutil.copytree(f"{pair}/checkpoint-5", tmp_path / "on" / "checkpoint-5")
    assert "made by 2 processes" in train(adapting, f"experiment.output_dir={tmp_path}/on")
    found = losses(tmp_path / "on")
    assert sorted(found) == list(range(6, STEPS + 1))
    assert all(entry["loss"] == pytest.approx(expected[step]["loss"], rel=1e-6) for step, entry in found.items())


def test_a_checkpoint_holds_adapters_alone_and_training_leaves_all_else_as_it_was(config, adapting):
    checkpoint = f"{adapted(config)}/checkpoint-{STEPS}"
    held = load_file(f"{checkpoint}/shard-0-of-1.safetensors")
    assert held and all(".lora_" in name for name in held)
    before, after = weights(base(config)), weights(f"{checkpoint}/unwrapped_model")
    assert before.keys() == after.keys()
    for name, weight in after.items():
        changed = ".blocks." in name and name.split(".")[-2] in TARGETS
        assert (weight != before[name]).any() == changed, name


def merged(weight, a, b, magnitude):
    """DoRA in fp64."""
    total = weight.astype(np.float64) + ALPHA / RANK * b.astype(np.float64) @ a.astype(np.float64)
    return magnitude[:, None] * total / np.linalg.norm(total, axis=1, keepdims=True)


def test_adapters_in_peft_s_files_stand_for_the_merged_model(config, adapting, tmp_path):
    checkpoint = f"{adapted(config)}/checkpoint-{STEPS}"
    settings = json.loads(open(f"{checkpoint}/unwrapped_model_adapter/adapter_config.json").read())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"], settings["use_dora"]) == ("LORA", RANK, ALPHA, True)
    assert settings["base_model_name_or_path"] == base(config)
    tensors, before, after = (load_file(f"{checkpoint}/unwrapped_model_adapter/adapter_model.safetensors"), weights(base(config)),
                              weights(f"{checkpoint}/unwrapped_model"))
    assert len(tensors) == 3 * len(settings["target_modules"]) == 3 * 2 * len(TARGETS)
    for module in settings["target_modules"]:
        part = lambda kind: tensors[f"base_model.model.{module}.{kind}"]
        expected = merged(before[f"{module}.weight"], part("lora_A.weight"), part("lora_B.weight"), part("lora_magnitude_vector"))
        assert np.abs(after[f"{module}.weight"] - expected).max() < 1e-6, module
    command = [PROGRAM, "convert", "merge", "--model", base(config), "--adapter", f"{checkpoint}/unwrapped_model_adapter", "--output", str(tmp_path / "merged")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "8 weights merged" in done.stdout, done.stderr
    converted = weights(tmp_path / "merged")
    assert all((converted[name] == after[name]).all() for name in after)
    assert "expected a new folder" in subprocess.run(command, capture_output=True, text=True).stderr


def refused(config, adapter, tmp_path):
    done = subprocess.run([PROGRAM, "convert", "merge", "--model", base(config), "--adapter", str(adapter), "--output", str(tmp_path / "merged")],
                          capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "merged").exists()
    return done.stderr


def test_adapters_that_fit_no_model_or_ask_for_more_than_lora_are_named(config, adapting, tmp_path):
    good, adapter = f"{adapted(config)}/checkpoint-{STEPS}/unwrapped_model_adapter", tmp_path / "adapter"
    shutil.copytree(good, adapter)
    settings, tensors = json.loads((adapter / "adapter_config.json").read_text()), load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.model.transformer.blocks.0.q_proj.lora_A.weight"

    def attempt(changed_settings={}, changed_tensors={}, left_out=()):
        (adapter / "adapter_config.json").write_text(json.dumps(settings | changed_settings))
        save_file({k: v for k, v in (tensors | changed_tensors).items() if k not in left_out}, adapter / "adapter_model.safetensors")
        return refused(config, adapter, tmp_path)

    assert "field `use_rslora`: found true" in attempt({"use_rslora": True})
    assert "field `rank_pattern`" in attempt({"rank_pattern": {"q_proj": 2}})
    assert "field `peft_type`: found \"LOHA\"" in attempt({"peft_type": "LOHA"})
    assert "found no lora_A.weight of model.transformer.blocks.0.q_proj.weight" in attempt(left_out=[name])
    assert "lora_A.weight of model.transformer.blocks.0.q_proj.weight: found [3, 32]" in attempt(changed_tensors={name: np.zeros((3, 32), np.float32)})
    assert "blocks.9.q_proj" in attempt(changed_tensors={name.replace(".0.", ".9."): tensors[name]})
    assert "found the tensor \"other\"" in attempt(changed_tensors={"other": tensors[name]})
    assert "found a magnitude" in attempt({"use_dora": False})


@pytest.mark.parametrize("held", ["int8", "nf4"])
def test_adapters_on_a_quantised_base_learn(config, adapting, tmp_path, held):
    train(adapting, f"experiment.output_dir={tmp_path}", f"lora.base={held}", "lora.dora=false", "optimizer.learning_rate=0.02",
          "training.max_train_steps=16", "dataset.phases=[]", "experiment.save_every=0", "experiment.evaluate_every=0")
    found = [entry["loss"] for _, entry in sorted(losses(tmp_path).items())]
    assert np.mean(found[-4:]) < 0.97 * np.mean(found[:4])
    before, after = weights(base(config)), weights(f"{tmp_path}/checkpoint-16/unwrapped_model")
    name = "model.transformer.blocks.0.k_proj.weight"  # no adapter: quantised, and near
    assert 0 < np.abs(after[name] - before[name]).max() < (0.01 if held == "int8" else 0.16) * np.abs(before[name]).max()


def test_adapters_go_on_upon_their_own_base_alone(config, adapting, tmp_path):
    shutil.copytree(f"{adapted(config)}/checkpoint-5", tmp_path / "checkpoint-5")
    other = f"{straight(config)}/checkpoint-5/unwrapped_model"
    for flags in ([], ["--allow-partial"], ["--allow-partial", "dataset.flows.0.name=renamed", "dataset.phases=[]"]):  # of which no data position is known
        log = train(adapting, f"experiment.output_dir={tmp_path}", f"model.from={other}", *flags, check=1)
        assert "lora_base.sha256`: found" in log and f'(of "{base(config)}")' in log and f'(of "{other}")' in log
    assert "missing" in train(adapting, f"experiment.output_dir={tmp_path}", 'lora.targets=["k_proj"]', check=1)


def test_mistakes_in_what_is_adapted_are_named(adapting):
    assert 'field `lora.targets`: found "head"' in train(adapting, 'lora.targets=["head"]', check=1)
    assert "field `lora.rank`" in train(adapting, "lora.rank=0", check=1)
    assert "field `sharding.recompute`" in train(adapting, "sharding.recompute=norms_and_swiglu", check=1)
