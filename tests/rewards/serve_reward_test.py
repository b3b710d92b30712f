# SPDX-License-Identifier: MIT
"""examples/reward_plugin/serve_reward.py: Python functions with TRL's signature as workers."""
import base64
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "reward_plugin"
FUNCTIONS = '''
def columns(prompts, completions, image, shown, level, task, answer):
    print("noise")
    return [len(p) + len(i or b"") + 100 * len(s or b"") + (l or 0) for p, i, s, l in zip(prompts, image, shown, level)]

def raises(prompts, completions, **columns):
    raise ValueError("no model")

def nothing(prompts, completions, **columns):
    return [None, float("nan")]
'''


class Worker:
    def __init__(self, place):
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        self.process = subprocess.Popen([sys.executable, str(PLUGINS / "serve_reward.py"), place], stdout=subprocess.DEVNULL,
                                        env={**os.environ, "MMADA_REWARD_FD": str(theirs.fileno())}, pass_fds=[theirs.fileno()])
        theirs.close()
        self.socket, self.lines = ours, ours.makefile("r", encoding="utf-8")
        assert json.loads(self.lines.readline()) == {"protocol": 1}

    def ask(self, samples):
        self.socket.sendall((json.dumps({"id": 5, "samples": samples}) + "\n").encode())
        answer = json.loads(self.lines.readline())
        assert answer.pop("id") == 5
        return answer

    def close(self):
        self.lines.close()
        self.socket.close()
        assert self.process.wait(20) == 0  # it ends when nobody asks any more


def sample(**fields):
    return {"task": "text", "prompt": "p", "response": "r", "answer": "", "metadata": {}, "image": None, "shown": None} | fields


@pytest.fixture
def functions(tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(FUNCTIONS)
    return path


def test_a_function_gets_lists_of_prompts_completions_and_columns(functions):
    worker = Worker(f"{functions}:columns")
    samples = [sample(prompt="abc", image=base64.b64encode(b"PNG!").decode(), metadata={"level": 10}), sample()]
    assert worker.ask(samples) == {"scores": [17.0, 1.0]}
    worker.close()


def test_the_example_rewards_short_answers_that_hold_the_reference():
    worker = Worker(f"{PLUGINS / 'brevity.py'}:brevity")
    samples = [sample(response="it is 4", answer="4"), sample(response="5", answer="4"), sample(response="4")]
    assert worker.ask(samples) == {"scores": [pytest.approx(1 - 7 / 500), 0.0, None]}
    worker.close()


@pytest.mark.parametrize("name, message", [("raises", "ValueError: no model"), ("nothing", "ValueError: Out of range float")])
def test_what_goes_wrong_fails_the_batch_and_not_the_worker(functions, name, message):
    worker = Worker(f"{functions}:{name}")
    for _ in range(2):
        assert worker.ask([sample(), sample()])["error"].startswith(message)
    worker.close()


def test_algebra_that_takes_too_long_is_no_verdict(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS.parents[1] / "mmada" / "rewards" / "worker"))
    import math_equality
    assert math_equality.equal([], ["$(x+1)^2$", "$x$"], ["$x^2+2x+1$", "$y$"]) == [1.0, 0.0]

    def never(*arguments, **options):
        while True:
            pass

    monkeypatch.setattr(math_equality, "verify", never)
    monkeypatch.setattr(math_equality, "SECONDS", 0.2)
    assert math_equality.same("$x$", "$y$") is None
