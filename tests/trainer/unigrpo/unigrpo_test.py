# SPDX-License-Identifier: MIT
"""`mmada train` with task "unigrpo": the pocket model's start of reinforcement learning on sums, questions and pictures."""
import copy
import glob
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from safetensors.numpy import load_file

PROGRAM = os.environ["MMADA_PROGRAM"]
POCKET = Path(__file__).resolve().parents[3] / "examples" / "pocket"
UPDATES, OUTER = 3, 2
CLOCK = {"samples/sec/gpu", "throughput(tps)", "tflops", "batch_time", "data_time", "memory/max_active(GiB)", "save_stall_seconds", "rollout_seconds", "time"}

SUMS = {"name": "math", "task": "text", "prompts": 3, "length": 44, "tokens_per_step": 6, "sampler": {"temperature": 1.0},
        "source": {"type": "shapes", "task": "arithmetic", "prompts": True}}
QUESTIONS = {"name": "vqa", "task": "mmu", "prompts": 1, "length": 54, "tokens_per_step": 8, "sampler": {"temperature": 1.0},
             "source": {"type": "shapes", "task": "question", "prompts": True}}
PICTURES = {"name": "drawing", "task": "t2i", "prompts": 1, "sampler": {"steps": 3, "guidance_scale": 1.0},
            "source": {"type": "shapes", "task": "caption", "prompts": True}}
CONFIG = {
    "task": "unigrpo",
    "experiment": {"log_every": 1, "save_every": 1, "tensorboard": False},
    "model": {"from": str(POCKET / "mmada_rl_start")},
    "image_tokenizer": {"from": str(POCKET / "image_tokenizer"), "resolution": 64},
    "dataset": {"max_seq_length": 54, "prompts": [SUMS]},
    "rewards": [{"name": "digits", "weight": 1.0, "tasks": ["text", "mmu"], "reward": {"type": "length", "target": 5, "limit": 80, "value": 1.0}},
                {"name": "correct", "weight": 2.0, "tasks": ["text", "mmu"], "reward": {"type": "math"}}],
    "unigrpo": {"num_generations": 4, "num_iterations": UPDATES, "rows_together": 5, "tokens_per_pass": 200, "beta": 0.05},
    "optimizer": {"learning_rate": 3e-5},
    "threads": 1,
    "training": {"max_train_steps": UPDATES * OUTER, "seed": 3},
}


def changed(path, *changes, **sections):
    config = copy.deepcopy(CONFIG)
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section} if isinstance(section, dict) else section
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return changed(tmp_path_factory.mktemp("unigrpo") / "run.json")


def python_reward(path, body):
    path.write_text(f"import os, time\ndef score(prompts, completions, **_):\n    {body}\n    return [sum(map(ord, c)) % 7 / 7 for c in completions]\n")
    return {"type": "process", "command": [sys.executable, str(POCKET.parent / "reward_plugin" / "serve_reward.py"), f"{path}:score"]}


def start(config, run, *flags, **environment):
    return subprocess.Popen([PROGRAM, "train", "--config", str(config), f"experiment.output_dir={run}", *map(str, flags)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, start_new_session=True)


def train(config, run, *flags, check=0, **environment):
    process = start(config, run, *flags, **environment)
    _, log = process.communicate(timeout=300)
    assert process.returncode == check, log
    return log


def metrics(run):
    entries = {}
    for entry in map(json.loads, open(f"{run}/metrics.jsonl")):
        entries.setdefault(entry["step"], {}).update({key: value for key, value in entry.items() if key not in CLOCK})
    return entries


def completions(run, outer_step):
    return [json.loads(line) for line in open(f"{run}/completions/step-{outer_step:06d}.jsonl")]


def weights_hash(run, step=UPDATES * OUTER):
    digest = hashlib.sha256()
    for name in sorted(glob.glob(f"{run}/checkpoint-{step}/**/*.safetensors", recursive=True)):
        digest.update(open(name, "rb").read())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def straight(config):
    run = config.parent / "straight"
    train(config, run)
    return run


def test_metrics_and_completions_tell_what_was_answered_and_what_it_was_worth(straight):
    found = metrics(straight)
    first = found[1]
    for name in ("loss", "grad_norm", "kl", "ratio", "clip_ratio/low_mean", "clip_ratio/high_mean", "reward", "reward_std", "rewards/digits/mean",
                 "rewards/correct/std", "frac_reward_zero_std", "completions/mean_length", "reward_failures"):
        assert name in first, name
    assert first["clip_ratio/region_mean"] == first["clip_ratio/low_mean"] + first["clip_ratio/high_mean"]
    without_end = [answer["response"] for path in glob.glob(f"{straight}/rollouts/*/run-*.json") for answer in json.load(open(path))["responses"]]
    assert found[UPDATES + 1]["completions/clipped_ratio"] == pytest.approx(sum(not answer["ended"] for answer in without_end) / len(without_end))
    assert 0.1 < first["entropy"] < math.log(8192)  # in nats; an even choice among the codes, the larger window
    assert "reward" not in found[2] and "reward" in found[UPDATES + 1]
    # the first update's policy is the one that answered and, as yet, the reference
    assert first["ratio"] == pytest.approx(1, abs=1e-5) and first["kl"] == pytest.approx(0, abs=1e-6)
    assert abs(found[UPDATES]["ratio"] - 1) > 1e-5 and found[UPDATES + 1]["kl"] > 1e-7
    lines = completions(straight, 0)
    assert len(lines) == 12
    for line in lines:
        total = line["rewards"]["digits"] + 2 * line["rewards"]["correct"]
        assert line["reward"] == pytest.approx(total)
        assert line["prompt"].startswith("what is") and line["answer"].isdigit()
    for group in (lines[i:i + 4] for i in range(0, 12, 4)):
        assert len({line["prompt"] for line in group}) == 1 and len({line["response"] for line in group}) > 1
        mean = sum(line["reward"] for line in group) / 4
        std = (sum((line["reward"] - mean) ** 2 for line in group) / 4) ** 0.5
        for line in group:
            assert line["advantage"] == (pytest.approx((line["reward"] - mean) / (std + 1e-4)) if std > 0 else None)
    assert any(line["advantage"] for line in lines)
    assert {line["prompt"] for line in completions(straight, 1)} != {line["prompt"] for line in lines}


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_answer_as_one_does_and_learn_the_same(config, straight, tmp_path, processes):
    train(config, tmp_path, "--nproc", processes)
    assert completions(tmp_path, 0) == completions(straight, 0)
    found, expected = metrics(tmp_path), metrics(straight)
    for step in range(1, UPDATES + 1):
        for name, value in expected[step].items():
            assert found[step][name] == pytest.approx(value, rel=1e-5 if name == "grad_norm" else 1e-6, abs=2e-6), (step, name)
    ours, theirs = (load_file(f"{run}/checkpoint-{UPDATES}/unwrapped_model/model.safetensors") for run in (tmp_path, straight))
    start = load_file(f"{straight}/checkpoint-1/unwrapped_model/model.safetensors")
    apart, moved = (np.concatenate([(one[name] - theirs[name]).ravel() for name in theirs]) for one in (ours, start))
    # AdamW makes whole steps of gradients that are hardly more than rounding
    assert (np.abs(apart) > 1e-6).mean() < 1e-4 and np.linalg.norm(apart) < 1e-3 * np.linalg.norm(moved)


def test_bf16_weights_answer_alike_in_one_process_and_in_two_whole_or_in_shards(config, straight, tmp_path):
    flags = ["dtype=bf16", f"training.max_train_steps={UPDATES}"]
    train(config, tmp_path / "alone", *flags)
    train(config, tmp_path / "two", "--nproc", 2, *flags)
    train(config, tmp_path / "sharded", "--nproc", 2, "unigrpo.rollout_weights=sharded", *flags)
    alone = completions(tmp_path / "alone", 0)
    assert completions(tmp_path / "two", 0) == alone and completions(tmp_path / "sharded", 0) == alone
    assert [line["response"] for line in alone] != [line["response"] for line in completions(straight, 0)]
    ours, theirs = metrics(tmp_path / "two")[UPDATES], metrics(tmp_path / "alone")[UPDATES]
    assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=0.02)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_weights_in_shards_answer_as_whole_ones_do(config, straight, tmp_path, processes):
    evaluate = ["experiment.evaluate_every=1", f"evaluation.prompts={json.dumps([{**SUMS, 'prompts': 2}])}", "training.max_train_steps=1"]
    train(config, tmp_path / "sharded", "--nproc", processes, "unigrpo.rollout_weights=sharded", *evaluate)
    train(config, tmp_path / "whole", *evaluate)
    assert completions(tmp_path / "sharded", 0) == completions(straight, 0)
    ours, theirs = metrics(tmp_path / "sharded")[1], metrics(tmp_path / "whole")[1]
    assert ours["eval/math/rewards/correct"] == theirs["eval/math/rewards/correct"]
    assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-5)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_ends_after_each_update_in_turn_goes_on_bit_for_bit(config, straight, tmp_path, processes):
    run, whole = tmp_path / "run", straight
    if processes > 1:
        whole = tmp_path / "whole"
        train(config, whole, "--nproc", processes)
    for step in range(1, UPDATES * OUTER):
        train(config, run, "--nproc", processes, f"training.max_train_steps={step}")
    train(config, run, "--nproc", processes)
    assert metrics(run) == metrics(whole)
    assert weights_hash(run) == weights_hash(whole)
    assert completions(run, 1) == completions(whole, 1)


@pytest.mark.parametrize("flags", [[], ["--nproc", 2, "unigrpo.rows_together=2", "unigrpo.rollout_weights=sharded"]], ids=["alone", "sharded"])
def test_a_run_stopped_among_its_rollouts_keeps_them_and_goes_on_bit_for_bit(tmp_path, flags):
    slow = tmp_path / "slow.py"  # in the second outer step, gives the signal time to come between two runs of responses
    slow.write_text("import time\ncalls = 0\ndef score(prompts, completions, **_):\n    global calls\n    calls += 1\n"
                    "    time.sleep(2 if calls > 3 else 0)\n    return [len(c) / 100 for c in completions]\n")
    serve = POCKET.parent / "reward_plugin" / "serve_reward.py"
    reward = [{"name": "slow", "reward": {"type": "process", "command": [sys.executable, str(serve), f"{slow}:score"]}}]
    config = changed(tmp_path / "slow.json", rewards=reward)
    train(config, tmp_path / "whole", *flags)
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        run = tmp_path / wanted.name
        process = start(config, run, *flags)
        place = run / "rollouts" / "step-000001"  # the second outer step
        deadline = time.monotonic() + 120
        while not (place / "run-0.json").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        (os.killpg if wanted == signal.SIGKILL else os.kill)(process.pid, wanted)  # the launcher passes on what it can
        process.communicate(timeout=60)
        assert process.returncode == (0 if wanted == signal.SIGTERM else -signal.SIGKILL)
        kept = sorted(place.glob("run-*.json"))
        assert 1 <= len(kept) < (6 if flags else 3) and not (run / "completions" / "step-000001.jsonl").exists()
        before = {path: path.stat().st_mtime_ns for path in kept}
        train(config, run, *flags)
        assert {path: path.stat().st_mtime_ns for path in kept} == before  # not made again
        assert metrics(run) == metrics(tmp_path / "whole")
        assert weights_hash(run) == weights_hash(tmp_path / "whole")
    # responses of other weights or another seed are not taken for these
    before = kept[0].read_text()
    train(config, run, *flags, "--resume", run / f"checkpoint-{UPDATES}", "training.seed=4", f"training.max_train_steps={UPDATES + 1}")
    assert kept[0].read_text() != before


def test_responses_are_known_by_all_of_the_weights_that_made_them_in_any_number_of_processes(config, tmp_path):
    def made_by(run):
        return {json.load(open(path))["key"].split()[1] for path in glob.glob(f"{run}/rollouts/*/run-*.json")}
    swapped = tmp_path / "model"
    shutil.copytree(POCKET / "mmada_rl_start", swapped)
    tensors = safetensors.torch.load_file(swapped / "model.safetensors")
    norm = tensors["model.transformer.ln_f.weight"]
    norm[[0, 1]] = norm[[1, 0]]
    assert norm[0] != norm[1]
    safetensors.torch.save_file(tensors, swapped / "model.safetensors")
    for name, start_from, processes in (("one", config, 1), ("three", config, 3), ("other", changed(tmp_path / "other.json", model={"from": str(swapped)}), 1)):
        train(start_from, tmp_path / name, "--nproc", processes, "training.max_train_steps=1")
    one, three, other = (made_by(tmp_path / name) for name in ("one", "three", "other"))
    assert len(one) == 1 and three == one and other != one


def test_a_reward_that_fails_ends_the_run_with_a_checkpoint_where_that_is_asked_for(tmp_path):
    plugin = tmp_path / "fails.py"
    calls = tmp_path / "calls"  # in a file: after a failure a new worker serves
    plugin.write_text(f"def score(prompts, completions, **_):\n    open({str(calls)!r}, 'a').write('.')\n"
                      f"    if len(open({str(calls)!r}).read()) > 3:\n        raise ValueError('no opinion today')\n"
                      "    return [len(c) / 100 for c in completions]\n")
    serve = POCKET.parent / "reward_plugin" / "serve_reward.py"
    reward = lambda policy: [{"name": "moody", "on_failure": policy, "reward": {"type": "process", "command": [sys.executable, str(serve), f"{plugin}:score"]}}]
    config = changed(tmp_path / "stop.json", rewards=reward("stop"), experiment={"save_every": 0})
    log = train(config, tmp_path / "stop", check=1)
    assert f"step {UPDATES}: " in log and "moody" in log and "no opinion today" in log
    assert [path.name for path in tmp_path.glob("stop/checkpoint-*")] == [f"checkpoint-{UPDATES}"]
    # mended, the run goes on as if nothing had been
    failing = plugin.read_text()
    plugin.write_text("def score(prompts, completions, **_):\n    return [len(c) / 100 for c in completions]\n")
    for name in ("stop", "whole"):
        train(config, tmp_path / name)
    assert weights_hash(tmp_path / "stop") == weights_hash(tmp_path / "whole")
    plugin.write_text(failing)
    calls.write_text("")
    config = changed(tmp_path / "abstain.json", rewards=reward("abstain"))
    log = train(config, tmp_path / "abstain")
    assert f"step {UPDATES}: reward moody: " in log and "no opinion today" in log and "(3 times)" in log
    found = metrics(tmp_path / "abstain")
    assert found[UPDATES + 1]["reward_failures"] == 3 and found[UPDATES + 1]["frac_groups_unscored"] == 1
    assert found[UPDATES + 1]["loss"] == 0  # and nothing was learned
    assert weights_hash(tmp_path / "abstain", UPDATES) == weights_hash(tmp_path / "abstain", 2 * UPDATES)


def test_a_reward_that_fails_in_an_evaluation_is_named_or_ends_the_run_with_a_checkpoint(tmp_path):
    reward = python_reward(tmp_path / "fails.py", "assert len(prompts) > 2, 'too few'")  # an evaluation has two, a rollout twelve
    for policy, flags in (("stop", []), ("stop", ["--nproc", 2]), ("zero", [])):
        rewards = [{"name": "moody", "on_failure": policy, "reward": reward}]
        config = changed(tmp_path / "run.json", rewards=rewards, evaluation={"prompts": [{**SUMS, "prompts": 2}]},
                         unigrpo={"rows_together": 12}, experiment={"save_every": 0, "evaluate_every": 2})
        run = tmp_path / f"{policy}{len(flags)}"
        log = train(config, run, *flags, check=1 if policy == "stop" else 0)
        assert "step 2: " in log and "reward moody: " in log and "too few" in log
        assert sorted(path.name for path in run.glob("checkpoint-*")) == ["checkpoint-2" if policy == "stop" else f"checkpoint-{UPDATES * OUTER}"]
    assert metrics(run)[2]["eval/reward_failures"] == 1 and metrics(run)[2]["eval/math/rewards/moody"] == 0


def test_answers_that_are_all_worth_the_same_teach_nothing(tmp_path):
    same = [{"name": "any", "reward": {"type": "length", "target": 1000, "limit": 2000, "value": 1.0}}]
    train(changed(tmp_path / "same.json", rewards=same), tmp_path / "run")
    found = metrics(tmp_path / "run")
    assert found[1]["reward"] == 1 and found[1]["frac_reward_zero_std"] == 1
    assert weights_hash(tmp_path / "run", 1) == weights_hash(tmp_path / "run")


def test_words_questions_and_pictures_learn_together(tmp_path):
    plugin = tmp_path / "red.py"
    plugin.write_text("def score(prompts, completions, image, **_):\n    return [None if x is None else len(x) / 1000 for x in image]\n")
    serve = POCKET.parent / "reward_plugin" / "serve_reward.py"
    rewards = CONFIG["rewards"] + [{"name": "red", "tasks": ["t2i"], "reward": {"type": "process", "command": [sys.executable, str(serve), f"{plugin}:score"]}}]
    evaluation = {"prompts": [{**SUMS, "prompts": 4}, {**PICTURES, "prompts": 2}]}
    config = changed(tmp_path / "mixed.json", dataset={"prompts": [SUMS, QUESTIONS, PICTURES]}, rewards=rewards, evaluation=evaluation,
                     experiment={"evaluate_every": UPDATES, "evaluate_first": True})
    train(config, tmp_path / "run", "--nproc", 2)
    assert metrics(tmp_path / "run")[0].keys() >= {"eval/math/rewards/correct", "eval/drawing/reward"}
    first = metrics(tmp_path / "run")[1]
    for name in ("reward/math", "reward/vqa", "reward/drawing"):
        assert name + "/mean" in first
    lines = completions(tmp_path / "run", 0)
    assert [line["stream"] for line in lines] == ["math"] * 12 + ["vqa"] * 4 + ["drawing"] * 4
    assert all((line["rewards"]["red"] is None) == (line["stream"] != "drawing") for line in lines)
    assert [Path(path).name for path in glob.glob(f"{tmp_path}/run/completions/step-000000/*.png")] == ["16.png"]  # its line
    measured = metrics(tmp_path / "run")[UPDATES]
    assert "eval/math/rewards/correct" in measured and "eval/drawing/rewards/red" in measured and "eval/drawing/rewards/correct" not in measured
    config = changed(tmp_path / "drawn.json", dataset={"prompts": [PICTURES]}, rewards=rewards)
    train(config, tmp_path / "drawn", f"training.max_train_steps={UPDATES}")
    assert [Path(path).name for path in glob.glob(f"{tmp_path}/drawn/completions/step-000000/*.png")] == ["0.png"]


def test_a_reward_that_fails_ends_several_processes_with_a_checkpoint(tmp_path):
    first = tmp_path / "run/completions/step-000000.jsonl"  # of the outer step before
    reward = python_reward(tmp_path / "fails.py", f"assert not os.path.exists({str(first)!r}), 'no opinion today'")
    config = changed(tmp_path / "stop.json", rewards=[{"name": "moody", "on_failure": "stop", "reward": reward}], experiment={"save_every": 0})
    log = train(config, tmp_path / "run", "--nproc", 2, check=1)
    assert f"step {UPDATES}: " in log and "moody" in log and "no opinion today" in log
    assert [path.name for path in tmp_path.glob("run/checkpoint-*")] == [f"checkpoint-{UPDATES}"]


def test_a_reward_that_fails_and_counts_as_0_leaves_the_others_to_teach(tmp_path):
    moody = {"name": "moody", "on_failure": "zero", "reward": python_reward(tmp_path / "fails.py", "raise ValueError('no opinion today')")}
    other = {"name": "other", "weight": 2.0, "reward": python_reward(tmp_path / "other.py", "pass")}
    train(changed(tmp_path / "zero.json", rewards=[moody, other]), tmp_path / "run")
    assert [metrics(tmp_path / "run")[step]["reward_failures"] for step in (1, UPDATES + 1)] == [3, 3]
    for line in completions(tmp_path / "run", 0) + completions(tmp_path / "run", 1):
        assert line["rewards"]["moody"] == 0 and line["reward"] == 2 * line["rewards"]["other"]
    assert weights_hash(tmp_path / "run", 1) != weights_hash(tmp_path / "run")


def plugin_run(path, prompts, what, **policy):
    """Each prompt's responses are a batch of tests/rewards/bad_plugin.cpp, which makes its mistake at the prompt "fail"."""
    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    source = {"type": "jsonl", "path": str(lines), "format": "prompt", "shuffle": False}
    judge = {"name": "judge", **policy, "reward": {"type": "plugin", "library": os.environ["MMADA_BAD_PLUGIN"], "config": {"do": what}}}
    return changed(path, dataset={"prompts": [{**SUMS, "source": source}]}, rewards=[judge], unigrpo={"rows_together": 4}, experiment={"save_every": 0})


@pytest.mark.parametrize("policy,what,message", [
    ("abstain", "crash", "it was ended by signal 11"),
    ("zero", "throw", 'it says "no model"'),
    ("stop", "exit", "it ended with status 3"),
])
def test_a_plugin_that_fails_at_one_prompt_is_named_and_its_policy_decides(tmp_path, policy, what, message):
    prompts = ["what is 1+2?", "what is 2+3?", "what is 3+4?", "what is 4+5?", "fail", "what is 5+6?"]
    config, run = plugin_run(tmp_path / "run.json", prompts, what, on_failure=policy), tmp_path / "run"
    log = train(config, run, check=1 if policy == "stop" else 0)
    assert f"step {UPDATES}: reward judge: {message}" in log
    assert [path.name for path in run.glob("checkpoint-*")] == [f"checkpoint-{UPDATES if policy == 'stop' else UPDATES * OUTER}"]
    assert metrics(run)[1]["reward_failures"] == 0
    if policy != "stop":
        assert metrics(run)[UPDATES + 1]["reward_failures"] == 1
        assert metrics(run)[UPDATES + 1]["frac_groups_unscored"] == pytest.approx(1 / 3 if policy == "abstain" else 0)
        for line in completions(run, 0) + completions(run, 1):
            failed = None if policy == "abstain" else 0
            assert line["rewards"]["judge"] == (failed if line["prompt"] == "fail" else len(line["response"].encode()))


def test_a_plugin_that_fails_batch_after_batch_ends_the_run_with_a_checkpoint_whatever_its_policy(tmp_path):
    prompts = ["what is 1+2?", "fail", "fail", "fail", "what is 2+3?", "what is 3+4?"]  # the third in a row is the second outer step's
    for policy in ("abstain", "zero"):
        config, run = plugin_run(tmp_path / "run.json", prompts, "throw", on_failure=policy, give_up_after=3), tmp_path / policy
        log = train(config, run, check=1)
        assert 'step 0: reward judge: it says "no model" (2 times)' in log
        assert f'step {UPDATES}: reward judge: it says "no model"; found 3 failures in a row, expected fewer (give_up_after)' in log
        assert [path.name for path in run.glob("checkpoint-*")] == [f"checkpoint-{UPDATES}"]
    patient = plugin_run(tmp_path / "patient.json", prompts, "throw", give_up_after=4)
    train(patient, tmp_path / "patient")
    found = metrics(tmp_path / "patient")
    assert [found[step]["reward_failures"] for step in (1, UPDATES + 1)] == [2, 1]


BAD = {
    "crashes": ("os._exit(3)", "it ended with status 3"),
    "hangs": ("time.sleep(60)", "no answer within its time limit"),
    "answers too few": ("return [1.0]", "found 1 scores, expected 5"),
    "answers words": ("return ['good'] * len(prompts)", "ValueError"),
    "answers garbage": ("os.write(int(os.environ['MMADA_REWARD_FD']), b'hello\\n')", "expected a line of JSON"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_run_goes_on_without_a_reward_that_fails_and_says_how(tmp_path, what):
    code, message = BAD[what]
    limit = 1 if what == "hangs" else 60  # what answers at all may take its time on a busy machine
    bad = {"name": "bad", "reward": {**python_reward(tmp_path / "bad.py", code), "timeout_seconds": limit}}
    log = train(changed(tmp_path / "run.json", rewards=CONFIG["rewards"] + [bad]), tmp_path / "run", "training.max_train_steps=1")
    assert "step 0: reward bad: " in log and message in log, log
    first = metrics(tmp_path / "run")[1]
    assert first["reward_failures"] == 3 and first["grad_norm"] > 0 and "rewards/bad/mean" not in first


def test_a_run_goes_on_without_a_reward_server_that_is_not_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gone = {"name": "server", "reward": {"type": "http", "url": f"http://127.0.0.1:{port}/score"}}
    log = train(changed(tmp_path / "run.json", rewards=CONFIG["rewards"] + [gone]), tmp_path / "run", "training.max_train_steps=1")
    assert "step 0: reward server: " in log and f"127.0.0.1:{port}" in log
    assert metrics(tmp_path / "run")[1]["reward_failures"] == 3


def test_a_worker_that_answers_nan_has_failed_and_abstains(tmp_path):
    worker = r"""echo '{"protocol": 1}' >&3; n=0; while read -r line <&3; do n=$((n+1)); echo "{\"id\": $n, \"scores\": [NaN, 1, 1, 1, 1]}" >&3; done"""
    nan = {"name": "nan", "on_failure": "abstain", "reward": {"type": "process", "command": ["/bin/sh", "-c", worker]}}
    train(changed(tmp_path / "nan.json", rewards=[nan, CONFIG["rewards"][0]]), tmp_path / "run", "training.max_train_steps=1")
    assert metrics(tmp_path / "run")[1]["reward_failures"] == 3
    for line in completions(tmp_path / "run", 0):
        assert line["rewards"]["nan"] is None and line["reward"] == line["rewards"]["digits"]


def kept_ids(run):
    """The token ids of the last outer step's responses, in order."""
    files = sorted(glob.glob(f"{run}/rollouts/*/run-*.json"), key=lambda path: int(path.rsplit("-", 1)[1].removesuffix(".json")))
    return [answer["response"]["ids"] for file in files for answer in json.load(open(file))["responses"]]


def test_words_questions_and_pictures_are_the_same_tokens_however_many_processes_make_them(tmp_path):
    scene = {"name": "scene", "tasks": ["t2i"], "reward": {"type": "shape_scene"}}
    config = changed(tmp_path / "mixed.json", dataset={"prompts": [{**SUMS, "prompts": 1}, QUESTIONS, PICTURES]}, rewards=CONFIG["rewards"] + [scene],
                     training={"max_train_steps": 1})
    alone = tmp_path / "alone"
    train(config, alone)
    assert len(kept_ids(alone)) == len(completions(alone, 0)) == 12 and len({tuple(ids) for ids in kept_ids(alone)}) > 6
    for weights in ("whole", "sharded"):
        train(config, tmp_path / weights, "--nproc", 2, f"unigrpo.rollout_weights={weights}")
        assert kept_ids(tmp_path / weights) == kept_ids(alone)
        assert completions(tmp_path / weights, 0) == completions(alone, 0)


VARIANTS = {
    "coupled": {"noise": "coupled", "spacing": "random"},
    "trace": {"noise": "trace", "shrink": 2, "kl_against": "old"},
    "d1": {"spacing": "fixed", "scale_rewards": "none", "loss_aggregation": "token"},
    "sequence": {"importance_sampling_level": "sequence", "loss_aggregation": "token", "length_normalization": "response"},
    "example": {"spacing": "example", "beta": 0},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_of_masking_and_weighing_learns_and_goes_on_bit_for_bit(tmp_path, name):
    config = changed(tmp_path / "run.json", unigrpo=VARIANTS[name])
    train(config, tmp_path / "whole")
    train(config, tmp_path / "cut", f"training.max_train_steps={UPDATES + 1}")
    train(config, tmp_path / "cut")
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")
    assert weights_hash(tmp_path / "whole", UPDATES) != weights_hash(tmp_path / "whole")
    found = metrics(tmp_path / "whole")
    assert all(0 < entry["grad_norm"] < 1e3 for entry in found.values())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_reference_that_follows_the_policy_is_saved_with_it(tmp_path, processes):
    follow = {"ref_model_sync_steps": 1, "ref_model_mixup_alpha": 0.6}
    config, flags = changed(tmp_path / "run.json", unigrpo=follow), ["--nproc", processes]
    train(config, tmp_path / "whole", *flags, "training.max_train_steps=9")
    train(config, tmp_path / "cut", *flags, "training.max_train_steps=4")
    train(config, tmp_path / "cut", *flags, "training.max_train_steps=9")
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    assert weights_hash(tmp_path / "cut", 9) == weights_hash(tmp_path / "whole", 9)
    train(changed(tmp_path / "still.json"), tmp_path / "still", *flags, f"training.max_train_steps={UPDATES + 1}")
    assert metrics(tmp_path / "whole")[UPDATES + 1]["kl"] < metrics(tmp_path / "still")[UPDATES + 1]["kl"]


def test_adapters_learn_over_a_frozen_base_that_is_their_reference(tmp_path):
    config = changed(tmp_path / "lora.json", lora={"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]})
    for name, processes in {"one": 1, "two": 2}.items():
        train(config, tmp_path / name, "--nproc", processes, f"training.max_train_steps={UPDATES}")
    assert completions(tmp_path / "one", 0) == completions(tmp_path / "two", 0)
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert one[1]["kl"] == pytest.approx(0, abs=1e-6) and one[UPDATES]["kl"] > 0
    assert two[UPDATES]["kl"] == pytest.approx(one[UPDATES]["kl"], rel=1e-2)  # of differences around 1e-3


@pytest.mark.parametrize("section,name,value,expected", [
    ("unigrpo", "num_generations", 1, "unigrpo.num_generations"),
    ("unigrpo", "epsilonn", 0.2, "unigrpo.epsilonn"),
    ("dataset", "prompts", [], "dataset.prompts"),
    ("dataset", "prompts", [SUMS, SUMS], "dataset.prompts[1].name"),
    ("dataset", "prompts", [{**SUMS, "length": 300}], "prompt stream math: found rows of 300 tokens"),
    ("training", "gradient_accumulation_steps", 2, "unigrpo.tokens_per_pass"),
])
def test_mistakes_are_named_before_anything_is_loaded(tmp_path, section, name, value, expected):
    log = train(changed(tmp_path / "run.json", **{section: {name: value}}), tmp_path / "run", check=1)
    assert expected in log
    assert not (tmp_path / "run").exists()
