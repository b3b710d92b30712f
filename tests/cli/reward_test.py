# SPDX-License-Identifier: MIT
"""`mmada reward`: rewards of every kind without a trainer, plugins among them; and that workers end with whoever asked them."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

PROGRAM = pathlib.Path(os.environ["MMADA_PROGRAM"])
PLUGINS = PROGRAM.parents[1] / "tests" / "rewards" / "plugins"
HOST = PROGRAM.parent / "mmada-reward-host"
EXAMPLES = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "reward_plugin"


def write(folder, rewards, samples):
    (folder / "rewards.json").write_text(json.dumps(rewards))
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return [PROGRAM, "reward", folder / "rewards.json", folder / "samples.jsonl"]


def judge(folder, rewards, samples, *flags, status=0):
    done = subprocess.run([*write(folder, rewards, samples), *flags], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def bad(what):
    return {"name": "plugin", "reward": {"type": "plugin", "library": str(PLUGINS / "bad_plugin.so"), "config": {"do": what}}}


def colourfulness(pixels):
    """Hasler and Suesstrunk 2003, in numpy."""
    r, g, b = np.moveaxis(pixels.astype(np.float64), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)


def test_each_sample_gets_a_line_with_its_total_and_its_parts(tmp_path):
    rewards = {"rewards": [{"name": "correct", "tasks": ["text"], "reward": {"type": "math"}},
                           {"name": "form", "weight": 0.5, "tasks": ["text"], "reward": {"type": "format"}}]}
    samples = [{"prompt": "1+1", "response": "<think>a</think>2", "answer": "2"}, {"task": "t2i"},
               {"response": "3", "answer": "2", "metadata": {"level": 1}}]
    for flags in ([], ["--batch", "1"]):
        lines, errors = judge(tmp_path, rewards, samples, *flags)
        assert errors == "" and lines == [{"total": 2.25, "parts": {"correct": 2.0, "form": 0.5}},
                                          {"total": None, "parts": {"correct": None, "form": None}},
                                          {"total": 0.0, "parts": {"correct": 0.0, "form": 0.0}}]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_example_plugin_judges_pictures_as_numpy_does(tmp_path, elsewhere):
    folder = tmp_path / "pictures" if elsewhere else tmp_path
    folder.mkdir(exist_ok=True)
    pictures = [np.random.default_rng(7).integers(0, 256, (5, 9, 3), np.uint8), np.full((4, 4, 3), 77, np.uint8)]
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    rewards = [{"name": "colour", "reward": {"type": "plugin", "library": str(PLUGINS / "colourfulness.so"),
                                             "config": {"full": 200}}}]
    samples = [{"task": "t2i", "image": "0.png"}, {"task": "t2i", "image": "1.png"}, {"task": "text"}]
    lines, _ = judge(tmp_path, rewards, samples, *(["--images", folder] if elsewhere else []))
    assert [line["total"] for line in lines] == [pytest.approx(colourfulness(pictures[0]) / 200, rel=1e-12), 0.0, None]


def test_a_python_function_is_a_reward_and_says_why_it_cannot_start(tmp_path):
    serve = ["python3", str(EXAMPLES / "serve_reward.py")]
    rewards = [{"name": "short", "reward": {"type": "process", "command": [*serve, str(EXAMPLES / "brevity.py") + ":brevity"]}},
               {"name": "gone", "reward": {"type": "process", "command": [*serve, str(EXAMPLES / "brevity.py") + ":gone"]}}]
    lines, errors = judge(tmp_path, rewards, [{"response": "it is 4", "answer": "4"}], status=1)
    assert lines == [{"total": pytest.approx(1 - 7 / 500), "parts": {"short": pytest.approx(1 - 7 / 500), "gone": None}}]
    assert "reward gone: it says" in errors and "AttributeError" in errors


def test_what_a_plugin_prints_does_not_reach_the_answers_and_a_failure_is_status_1(tmp_path):
    lines, errors = judge(tmp_path, [bad("stdout")], [{"prompt": "fail", "response": "abc"}])
    assert lines == [{"total": 3.0, "parts": {"plugin": 3.0}}] and errors.count("x" * 1023) == 2048
    lines, errors = judge(tmp_path, [bad("crash")], [{"prompt": "fail", "response": "abc"}], status=1)
    assert lines == [{"total": None, "parts": {"plugin": None}}]
    assert errors == "reward plugin: it was ended by signal 11 (Segmentation fault)\n"
    lines, errors = judge(tmp_path, [bad("crash") | {"on_failure": "stop"}], [{"prompt": "fail"}], status=1)
    assert lines == [] and errors == "mmada: reward plugin: it was ended by signal 11 (Segmentation fault)\n"


@pytest.mark.parametrize("sample, words", [
    ({"task": "image"}, ["samples.jsonl:1", "task"]), ({"reponse": "x"}, ["samples.jsonl:1", "response"]),
    ({"metadata": 7}, ["metadata", "an object"]), ({"image": "no.png"}, ["no.png", "No such file"])])
def test_mistakes_in_samples_name_the_line_and_the_field(tmp_path, sample, words):
    lines, errors = judge(tmp_path, [{"name": "form", "reward": {"type": "format"}}], [sample], status=1)
    assert lines == [] and all(word in errors for word in words), errors


def test_a_configuration_without_rewards_says_what_it_lacks(tmp_path):
    _, errors = judge(tmp_path, {}, [{}], status=1)
    assert "rewards.json: field `rewards`: found null, expected a list of rewards" in errors


def gone(pid, seconds=60):
    """Whether a process has ended (one that nobody has reaped counts)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_hanging_plugin_and_what_it_started_end_when_the_program_is_killed(tmp_path):
    command = write(tmp_path, [bad("hang")], [{"prompt": "fail"}])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        grandchild = int(program.stderr.readline().removeprefix("child "))
        host, = children(program.pid)
        assert children(host) == [grandchild] and not gone(host, 0.1) and not gone(grandchild, 0.1)
        program.send_signal(signal.SIGKILL)
    assert gone(host) and gone(grandchild)


def test_an_idle_host_ends_when_the_other_side_is_gone():
    ours, theirs = socket.socketpair()
    host = subprocess.Popen([HOST, PLUGINS / "bad_plugin.so", "{}"], env=os.environ | {"MMADA_REWARD_FD": str(theirs.fileno())},
                            pass_fds=[theirs.fileno()], start_new_session=True)
    theirs.close()
    assert json.loads(ours.makefile().readline()) == {"protocol": 1} and host.poll() is None
    ours.close()
    host.wait(60)


def test_a_host_started_by_hand_says_what_to_do():
    done = subprocess.run([HOST, PLUGINS / "bad_plugin.so"], capture_output=True, text=True)
    assert done.returncode == 2 and "try `mmada reward`" in done.stderr
    assert subprocess.run([HOST], capture_output=True).returncode == 2
