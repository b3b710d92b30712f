# SPDX-License-Identifier: MIT
"""`mmada train` as a user runs it: interrupted runs, damaged weights, events, all three tasks."""
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

PROGRAM = os.environ["MMADA_PROGRAM"]
STEPS = 12


def train(config, *overrides, check=0):
    """Runs a training to its end; returns its standard error."""
    done = subprocess.run([PROGRAM, "train", "--config", str(config), *map(str, overrides)], capture_output=True, text=True, timeout=600)
    assert done.returncode == check, done.stderr
    return done.stderr


def metrics(run):
    entries = {}
    with open(f"{run}/metrics.jsonl") as lines:
        for entry in map(json.loads, lines):
            entries.setdefault(entry["step"], {}).update(entry)
    return entries


def losses(run):
    """The parts of the metrics that must not depend on the clock, by step."""
    timed = {"rows_per_second", "tokens_per_second"}
    return {step: {k: v for k, v in entry.items() if k not in timed} for step, entry in metrics(run).items()}


def weights_hash(run, step=STEPS):
    digest = hashlib.sha256()
    for name in sorted(glob.glob(f"{run}/checkpoint-{step}/**/*.safetensors", recursive=True)):
        digest.update(open(name, "rb").read())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A transformer run of every flow, on tokenizers that `mmada train` itself made."""
    root = tmp_path_factory.mktemp("train")
    text = {"task": "text_tokenizer", "experiment": {"output_dir": f"{root}/text"}, "tokenizer": {"vocab_size": 320},
            "dataset": {"texts": [{"samples": 50, "source": {"type": "shapes", "task": "question"}}]}}
    half = {"ch": 4, "ch_mult": [1, 1, 1, 1], "num_res_blocks": [0, 0, 0, 0], "z_channels": 4}
    image = {"task": "image_tokenizer", "experiment": {"output_dir": f"{root}/image", "log_every": 1, "evaluate_every": 2},
             "model": {"architecture": {"encoder": half, "decoder": half, "norm_groups": 2}},
             "dataset": {"rows": 2, "resolution": 64, "source": {"type": "shapes", "task": "picture"}},
             "training": {"max_train_steps": 2}}
    shapes = lambda task: {"type": "shapes", "task": task}
    run = {"task": "transformer",
           "experiment": {"output_dir": f"{root}/straight", "log_every": 1, "save_every": 5, "evaluate_every": 6},
           "model": {"tokenizer": f"{root}/text", "init": {"embedding_std": 0.5},
                     "architecture": {"d_model": 32, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2,
                                      "mlp_hidden_size": 64, "max_sequence_length": 256}},
           "image_tokenizer": {"from": f"{root}/image/checkpoint-2/unwrapped_model", "resolution": 64},
           "dataset": {"max_seq_length": 48,
                       "flows": [{"flow": "t2i", "rows": 3, "source": shapes("caption")},
                                 {"flow": "mmu", "rows": 2, "coefficient": 2, "source": shapes("question")},
                                 {"flow": "lm_chat", "rows": 2, "length": 48, "source": shapes("arithmetic")},
                                 {"flow": "lm", "rows": 1, "source": shapes("arithmetic")},
                                 {"flow": "r2i", "rows": 1, "source": shapes("question")}],
                       "phases": [{"until_step": 7, "flows": {"t2i": {"rows": 2, "source": shapes("caption")}}}]},
           "condition_gate": {"rows": 4},
           "optimizer": {"learning_rate": 0.003, "ema_decay": 0.9},
           "lr_scheduler": {"name": "cosine", "warmup_steps": 2},
           "training": {"max_train_steps": STEPS, "gradient_accumulation_steps": 2}, "threads": 1}
    for name, content in [("text", text), ("image", image), ("run", run)]:
        (root / f"{name}.json").write_text(json.dumps(content))
    train(root / "text.json")
    train(root / "image.json")
    train(root / "run.json")
    return root / "run.json"


def straight(config):
    return f"{config.parent}/straight"


def test_a_run_leaves_losses_gate_and_published_models(config):
    found = metrics(straight(config))
    assert sorted(found) == list(range(1, STEPS + 1))
    for name in ("loss", "loss/t2i", "loss/mmu", "loss/lm_chat", "loss/lm", "loss/r2i", "grad_norm", "learning_rate"):
        assert all(np.isfinite(entry[name]) for entry in found.values()), name
    assert [step for step in found if "gate/t2i/gap" in found[step]] == [6, 12]
    assert found[6]["gate/mmu/gap"] == pytest.approx(found[6]["gate/mmu/shuffled"] - found[6]["gate/mmu/true"])
    for name in ("unwrapped_model", "unwrapped_model_ema"):
        folder = f"{straight(config)}/checkpoint-{STEPS}/{name}"
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(folder))
    raw, averaged = (load_file(f"{straight(config)}/checkpoint-{STEPS}/{n}/model.safetensors")
                     for n in ("unwrapped_model", "unwrapped_model_ema"))
    assert raw.keys() == averaged.keys() and any((raw[k] != averaged[k]).any() for k in raw)


def test_resuming_in_a_new_process_changes_no_bit(config, tmp_path):
    shutil.copytree(f"{straight(config)}/checkpoint-5", tmp_path / "checkpoint-5")
    assert "at step 5" in train(config, f"experiment.output_dir={tmp_path}")
    expected = losses(straight(config))
    assert losses(tmp_path) == {step: expected[step] for step in range(6, STEPS + 1)}
    assert weights_hash(tmp_path) == weights_hash(straight(config))


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_processes_take_the_steps_of_one(config, tmp_path, processes):
    train(config, f"experiment.output_dir={tmp_path}", "--nproc", processes)
    found, expected = losses(tmp_path), losses(straight(config))
    assert found.keys() == expected.keys()
    for step, entry in expected.items():
        assert found[step].keys() == entry.keys()
        for name, value in entry.items():
            assert found[step][name] == pytest.approx(value, rel=1e-5 if name == "grad_norm" else 1e-6, abs=1e-6 if "gap" in name else 0), (step, name)
    for name in ("unwrapped_model", "unwrapped_model_ema"):
        ours, theirs = (load_file(f"{run}/checkpoint-{STEPS}/{name}/model.safetensors") for run in (tmp_path, straight(config)))
        assert ours.keys() == theirs.keys()
        assert max(np.abs(ours[key] - theirs[key]).max() for key in theirs) < 1e-6


def start(config, run, *flags):
    return subprocess.Popen([PROGRAM, "train", "--config", str(config), f"experiment.output_dir={run}", *map(str, flags)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_step(process, run, step):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if os.path.exists(f"{run}/metrics.jsonl") and open(f"{run}/metrics.jsonl").read().count("loss/t2i") >= step:
            return
        time.sleep(0.002)


def interrupt(config, run, wanted_signal, after_step, *flags):
    """Starts a run, signals it once metrics show `after_step`, returns its exit status."""
    process = start(config, run, *flags)
    wait_for_step(process, run, after_step)
    process.send_signal(wanted_signal)
    process.communicate(timeout=300)
    return process.returncode


def ranks_of(process):
    """Process ids of a run's ranks, in order."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        pids = [int(pid) for pid in children.read().split()]
    rank = lambda pid: int(dict(v.split("=", 1) for v in open(f"/proc/{pid}/environ").read().split("\0") if "=" in v)["RANK"])
    return sorted(pids, key=rank)


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


@pytest.fixture(scope="module")
def pair(config):
    """An uninterrupted run of two processes."""
    run = f"{config.parent}/pair"
    train(config, f"experiment.output_dir={run}", "--nproc", 2)
    return run


@pytest.mark.parametrize("processes", [1, 4])
def test_a_run_of_two_processes_goes_on_in_any_number(config, pair, tmp_path, processes):
    shutil.copytree(f"{pair}/checkpoint-5", tmp_path / "checkpoint-5")
    log = train(config, f"experiment.output_dir={tmp_path}", "--nproc", processes)
    assert f"made by 2 processes, this run has {processes}" in log and "at step 5" in log
    found, expected = losses(tmp_path), losses(straight(config))
    assert sorted(found) == list(range(6, STEPS + 1))
    assert all(found[step]["loss"] == pytest.approx(expected[step]["loss"], rel=1e-6) for step in found)


@pytest.mark.parametrize("wanted_signal,status", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)])
def test_two_processes_interrupted_continue_bit_for_bit(config, pair, tmp_path, wanted_signal, status):
    process = start(config, tmp_path, "--nproc", 2)
    wait_for_step(process, tmp_path, 7)
    if wanted_signal == signal.SIGKILL:
        for pid in ranks_of(process):
            os.kill(pid, wanted_signal)
    process.send_signal(wanted_signal)
    process.communicate(timeout=60)
    assert process.returncode == status
    train(config, f"experiment.output_dir={tmp_path}", "--nproc", 2)
    assert losses(tmp_path) == losses(pair)
    assert weights_hash(tmp_path) == weights_hash(pair)


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_dead_rank_ends_the_others_within_seconds_and_is_named(config, tmp_path, dead):
    process = start(config, tmp_path, "--nproc", 3, "training.max_train_steps=100000", "experiment.save_every=0",
                    "experiment.evaluate_every=0")
    wait_for_step(process, tmp_path, 3)
    killed = time.monotonic()
    os.kill(ranks_of(process)[dead], signal.SIGKILL)
    _, log = process.communicate(timeout=60)
    assert time.monotonic() - killed < 5
    assert process.returncode == 128 + signal.SIGKILL
    assert f"rank {dead} was ended by signal 9" in log and "step " in log


def test_a_run_that_is_allowed_to_starts_again_from_its_last_checkpoint(config, pair, tmp_path):
    process = start(config, tmp_path, "--nproc", 2, "--max-restarts", 2)
    wait_for_step(process, tmp_path, 7)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0 and "starting again in 1 s" in log and "at step 5" in log
    assert losses(tmp_path) == losses(pair)
    assert weights_hash(tmp_path) == weights_hash(pair)


def test_a_run_that_fails_in_one_place_is_given_up(config, tmp_path):
    (tmp_path / "run").write_text("a file where the run's folder should be")
    log = train(config, f"experiment.output_dir={tmp_path}/run", "--nproc", 2, "--max-restarts", 50, check=1)
    assert log.count("starting again") == 2 and "failed 3 times in a row without getting beyond step 0" in log


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


def test_mistakes_in_the_configuration_exit_with_their_status(config):
    assert "did you mean `learning_rate`" in train(config, "optimizer.learning_rat=1", check=1)
    assert "max_train_steps" in train(config, "training.max_train_steps=0", check=1)
    train(config, "no_equals_sign", check=2)


# --- TensorBoard: an independent reading of the events ---------------------------------------------------------------

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (length_crc,) = struct.unpack_from("<I", data, at + 8)
        assert length_crc == masked(data[at:at + 8])
        payload = data[at + 12:at + 12 + length]
        (payload_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert payload_crc == masked(payload)
        at += length + 16
        yield payload


def fields(message):
    """(number, value) of a protobuf message: ints, floats and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            yield number, varint()
        elif kind == 1:
            yield number, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == 5:
            yield number, struct.unpack_from("<f", message, at)[0]
            at += 4
        else:
            length = varint()
            yield number, message[at:at + length]
            at += length


def test_tensorboard_events_hold_the_same_scalars(config):
    (path,) = glob.glob(f"{straight(config)}/events/events.out.tfevents.*")
    events = [dict(fields(record)) for record in records(path)]
    assert events[0][3] == b"brain.Event:2"
    assert dict(fields(events[1][7]))[1] == 1  # SessionLog.START
    scalars = {}
    for event in events[2:]:
        value = dict(fields(dict(fields(event[5]))[1]))
        scalars.setdefault(value[1].decode(), {})[event[2]] = value[2]
    for step, entry in losses(straight(config)).items():
        assert scalars["loss/t2i"][step] == np.float32(entry["loss/t2i"])
    assert set(scalars["gate/mmu/gap"]) == {6, 12}


def test_tensorboard_events_hold_pictures_of_the_reconstruction(config):
    (path,) = glob.glob(f"{config.parent}/image/events/events.out.tfevents.*")
    pictures = []
    for event in (dict(fields(record)) for record in records(path)):
        value = dict(fields(dict(fields(event[5]))[1])) if 5 in event else {}
        if 4 in value:
            pictures.append((value[1], event[2], dict(fields(value[4]))))
    ((tag, step, image),) = pictures
    decoded = Image.open(io.BytesIO(image[4]))
    assert (tag, step) == (b"eval/reconstruction", 2)
    assert decoded.size == (image[2], image[1]) and image[3] == 3 and decoded.format == "PNG"
    assert decoded.size[0] > 8 * 64 and decoded.size[1] > 2 * 64
