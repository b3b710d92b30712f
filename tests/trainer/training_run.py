# SPDX-License-Identifier: MIT
"""A transformer run of every flow, on tokenizers that `mmada train` itself made, and what its tests share."""
import glob
import hashlib
import json
import os
import subprocess
import time

import pytest

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
    """The parts of the metrics that depend neither on the clock nor on how rows are spread over processes, by step."""
    others = {"time", "samples/sec/gpu", "throughput(tps)", "tflops", "mfu(%)", "batch_time", "data_time", "memory/max_active(GiB)", "save_stall_seconds",
              "padding_saved"}
    return {step: {k: v for k, v in entry.items() if k not in others} for step, entry in metrics(run).items()}


def step_seconds(run):
    """What all steps took, each of a line of its own."""
    return sum(entry["batch_time"] for entry in metrics(run).values())


def weights_hash(run, step=STEPS):
    digest = hashlib.sha256()
    for name in sorted(glob.glob(f"{run}/checkpoint-{step}/**/*.safetensors", recursive=True)):
        digest.update(open(name, "rb").read())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Path of its configuration; the run itself is done."""
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


def start(config, run, *flags):
    return subprocess.Popen([PROGRAM, "train", "--config", str(config), f"experiment.output_dir={run}", *map(str, flags)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_step(process, run, step):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if os.path.exists(f"{run}/metrics.jsonl") and open(f"{run}/metrics.jsonl").read().count("step_loss_t2i") >= step:
            return
        time.sleep(0.002)


def interrupt(config, run, wanted_signal, after_step, *flags):
    """Starts a run, signals it once metrics show `after_step`, returns its exit status."""
    process = start(config, run, *flags)
    wait_for_step(process, run, after_step)
    process.send_signal(wanted_signal)
    process.communicate(timeout=300)
    return process.returncode
