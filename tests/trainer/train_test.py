# SPDX-License-Identifier: MIT
"""`mmada train` as a user runs it in one process: interrupted runs, damaged weights, mistakes."""
import glob
import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from training_run import PROGRAM, STEPS, config, interrupt, losses, metrics, straight, train, weights_hash


def test_a_run_leaves_losses_gate_and_published_models(config):
    found = metrics(straight(config))
    assert sorted(found) == list(range(1, STEPS + 1))
    for name in ("loss", "step_loss_t2i", "step_loss_mmu", "step_loss_lm_chat", "step_loss_lm", "step_loss_r2i", "grad_norm", "lr", "tflops", "time"):
        assert all(np.isfinite(entry[name]) for entry in found.values()), name
    assert [step for step in found if "gate/t2i/gap" in found[step]] == [6, 12]
    assert found[6]["gate/mmu/gap"] == pytest.approx(found[6]["gate/mmu/shuffled"] - found[6]["gate/mmu/true"])
    for name in ("unwrapped_model", "unwrapped_model_ema"):
        folder = f"{straight(config)}/checkpoint-{STEPS}/{name}"
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(folder))
    raw, averaged = (load_file(f"{straight(config)}/checkpoint-{STEPS}/{n}/model.safetensors")
                     for n in ("unwrapped_model", "unwrapped_model_ema"))
    assert raw.keys() == averaged.keys() and any((raw[k] != averaged[k]).any() for k in raw)
    for step, entry in found.items():
        tokens = 2 * (2 if step <= 7 else 3) * 64  # two micro-batches of two pictures, or three, of 8 x 8 tokens
        masked = entry["avg_masking_rate"] * tokens
        assert masked == pytest.approx(round(masked)) and 1 <= masked <= tokens, (step, masked)


def test_metrics_tell_memory_always_and_utilization_where_the_peak_is_known(config, tmp_path):
    for entry in metrics(straight(config)).values():
        assert "mfu(%)" not in entry and 0.01 < entry["memory/max_active(GiB)"] < 1e3 and 0 < entry["data_time"] < entry["batch_time"]
    train(config, f"experiment.output_dir={tmp_path}", "training.max_train_steps=3", "training.peak_flops=2e12")
    width, hidden, layers, longest = 32, 64, 2, 256
    vocabulary = json.load(open(f"{tmp_path}/checkpoint-3/unwrapped_model/config.json"))["vocab_size"]
    key_value, rest = 2 * 2 * width**2, 2 * (2 * width**2 + 3 * width * hidden)  # per token and layer
    # The last layer reads the targets alone, and only they have logits: anything from none to all of the tokens
    least = (layers - 1) * (key_value + rest) + key_value
    most = layers * (key_value + rest + 4 * width * longest) + 2 * width * vocabulary
    for entry in metrics(tmp_path).values():
        assert 3 * least < entry["mfu(%)"] / 100 * 2e12 / entry["throughput(tps)"] < 3 * most


def test_resuming_in_a_new_process_changes_no_bit(config, tmp_path):
    shutil.copytree(f"{straight(config)}/checkpoint-5", tmp_path / "checkpoint-5")
    log = train(config, f"experiment.output_dir={tmp_path}")
    assert "at step 5" in log and "the checkpoint was made" not in log
    expected = losses(straight(config))
    assert losses(tmp_path) == {step: expected[step] for step in range(6, STEPS + 1)}
    assert weights_hash(tmp_path) == weights_hash(straight(config))


def test_another_number_of_threads_is_told_and_changes_losses_by_their_last_digits(config, tmp_path):
    """Over 20 steps after the checkpoint. Sums in another order may round differently; those of so small a model need not."""
    longer = ["training.max_train_steps=25", "training.gradient_accumulation_steps=1", "experiment.save_every=5", "experiment.evaluate_every=0"]
    train(config, f"experiment.output_dir={tmp_path}/one", *longer)
    shutil.copytree(tmp_path / "one/checkpoint-5", tmp_path / "two/checkpoint-5")
    log = train(config, f"experiment.output_dir={tmp_path}/two", *longer, "threads=2")
    assert "at step 5" in log
    assert "the checkpoint was made with 1 threads, this process has 2: results will differ in the last bits" in log
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(two) == list(range(6, 26))
    for step, entry in two.items():
        assert entry["loss"] == pytest.approx(one[step]["loss"], rel=1e-5), step


def test_a_killed_run_continues_bit_for_bit(config, tmp_path):
    assert interrupt(config, tmp_path, signal.SIGKILL, 7) in (-signal.SIGKILL, 0)
    train(config, f"experiment.output_dir={tmp_path}")
    assert losses(tmp_path) == losses(straight(config))
    assert weights_hash(tmp_path) == weights_hash(straight(config))


@pytest.mark.parametrize("wanted_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_exits_0_and_continues_bit_for_bit(config, tmp_path, wanted_signal):
    assert interrupt(config, tmp_path, wanted_signal, 3) == 0
    saved = [int(os.path.basename(p).split("-")[1]) for p in glob.glob(f"{tmp_path}/checkpoint-*")]
    assert max(saved) >= 3
    train(config, f"experiment.output_dir={tmp_path}")
    assert losses(tmp_path) == losses(straight(config))
    assert weights_hash(tmp_path) == weights_hash(straight(config))


@pytest.mark.parametrize("processes", [1, 2])
def test_saving_in_the_background_changes_no_bit(config, tmp_path, processes):
    saves = ["experiment.save_every=1", "experiment.checkpoints_total_limit=3", "--nproc", processes]
    train(config, f"experiment.output_dir={tmp_path}/at_once", *saves)
    train(config, f"experiment.output_dir={tmp_path}/beside", *saves, "experiment.async_save=true")
    assert losses(tmp_path / "beside") == losses(tmp_path / "at_once")
    for step in range(STEPS - 2, STEPS + 1):
        assert weights_hash(tmp_path / "beside", step) == weights_hash(tmp_path / "at_once", step)
    assert len(glob.glob(f"{tmp_path}/beside/*checkpoint-*")) == 3
    stalls = [entry["save_stall_seconds"] for entry in metrics(tmp_path / "beside").values() if "save_stall_seconds" in entry]
    assert len(stalls) == STEPS - 1  # that of the last step has no line after it


def test_a_damaged_newest_checkpoint_is_named_and_passed_over(config, tmp_path):
    for step in (5, 10):
        shutil.copytree(f"{straight(config)}/checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    with open(tmp_path / "checkpoint-10/shard-0-of-1.safetensors", "r+b") as shard:
        shard.seek(5000)
        byte = shard.read(1)
        shard.seek(5000)
        shard.write(bytes([byte[0] ^ 1]))
    log = train(config, f"experiment.output_dir={tmp_path}")
    assert "passing over" in log and "checkpoint-10" in log and "at step 5" in log
    assert weights_hash(tmp_path) == weights_hash(straight(config))


def test_resuming_can_be_refused_or_pointed_at_a_checkpoint(config, tmp_path):
    train(config, f"experiment.output_dir={tmp_path}", "--resume", f"{straight(config)}/checkpoint-10")
    assert sorted(losses(tmp_path)) == [11, 12]
    train(config, f"experiment.output_dir={tmp_path}", "--resume", "none", "experiment.save_every=0")
    assert sorted(losses(tmp_path)) == list(range(1, STEPS + 1))


def test_values_that_stay_not_finite_stop_the_run_with_status_65_before_anything_is_saved(config, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(f"{straight(config)}/checkpoint-{STEPS}/unwrapped_model", model)
    tensors = load_file(model / "model.safetensors")
    tensors["model.transformer.blocks.1.ff_out.weight"][0, 0] = np.nan
    save_file(tensors, model / "model.safetensors")
    settings = json.loads(config.read_text())
    settings["model"] = {"from": str(model)}
    settings["experiment"]["output_dir"] = str(tmp_path / "run")
    (tmp_path / "nan.json").write_text(json.dumps(settings))
    log = train(tmp_path / "nan.json", check=65)
    assert "nan" in log and "step 0" in log and "stopped after 3 such steps in a row" in log
    assert not glob.glob(f"{tmp_path}/run/*checkpoint*")


def plan(config, *overrides):
    done = subprocess.run([PROGRAM, "train", "--config", str(config), "--dry-run", "--json", *overrides], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_checks_and_plans_and_leaves_nothing(config, tmp_path):
    alone, shared = plan(config, f"experiment.output_dir={tmp_path}/run"), plan(config, f"experiment.output_dir={tmp_path}/run", "--nproc", "4")
    assert not (tmp_path / "run").exists()
    memory = shared["memory_bytes"]
    assert memory["total"] == sum(value for name, value in memory.items() if name != "total")
    assert 3.8 * memory["optimizer"] < alone["memory_bytes"]["optimizer"] < 4.01 * memory["optimizer"]
    assert alone["gathered_bytes"] == 0 < shared["gathered_bytes"]
    assert 5e7 < alone["program_bytes"] < 1e9  # libraries, and no weight yet
    assert plan(config, "device=cuda")["program_bytes"] == 0
    needs = alone["memory_bytes"]["total"] / 1e9
    train(config, "--dry-run", "--device-memory", 1.1 * needs)
    refused = train(config, "--dry-run", "--device-memory", 0.9 * needs, check=1)
    assert "expected 0." in refused and "--device-memory" in refused
    train(config, "--dry-run", "--device-memory", 0.9 * needs, "--force")
    assert "did you mean `learning_rate`" in train(config, "--dry-run", "optimizer.learning_rat=1", check=1)
    assert "dataset.flows.t2i.source" in train(config, "--dry-run", 'dataset.flows.0.source={"type": "shapes", "task": "none"}', check=1)


def test_a_dry_run_predicts_a_model_of_the_published_size_on_eight_devices_and_says_that_nobody_measured_it(config):
    model = {"d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "mlp_hidden_size": 12288, "max_sequence_length": 2048}
    flows = [{"flow": "lm", "rows": 64, "length": 1536, "source": {"type": "shapes", "task": "arithmetic"}}]
    eight = ["--nproc", "8", "dtype=bf16", "sharding.recompute=norms_and_swiglu", "training.gradient_accumulation_steps=1", "dataset.phases=[]",
             f"dataset.flows={json.dumps(flows)}", *(f"model.architecture.{name}={value}" for name, value in model.items())]
    found = plan(config, *eight)["prediction"]
    assert found["device"] == "H100 SXM" and 0.47 < found["model_flops_utilization"] < 0.5 and found["tokens_per_second"] > 9800
    text = subprocess.run([PROGRAM, "train", "--config", str(config), "--dry-run", *eight], capture_output=True, text=True).stdout
    assert "prediction, measured by nobody, for H100 SXM" in text and "model FLOPs utilization" in text


def test_a_run_that_cannot_fit_is_refused_unless_forced(config, tmp_path):
    huge = [f"experiment.output_dir={tmp_path}", "dataset.flows.0.rows=60000", "model.architecture.n_layers=200", "dataset.phases=[]"]
    log = train(config, *huge, check=1)
    assert "of memory left" in log and "--force" in log
    assert "memory left" not in train(config, "--force", "training.max_train_steps=2", f"experiment.output_dir={tmp_path}")


def test_mistakes_in_the_configuration_exit_with_their_status(config):
    assert "did you mean `learning_rate`" in train(config, "optimizer.learning_rat=1", check=1)
    assert "max_train_steps" in train(config, "training.max_train_steps=0", check=1)
    train(config, "no_equals_sign", check=2)
