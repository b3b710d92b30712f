# SPDX-License-Identifier: MIT
"""Serves a Python function as a reward: {"type": "process", "command": ["python3", "serve_reward.py", "FILE.py:FUNCTION"]}.

The function has the signature of TRL's reward functions: f(prompts, completions, **columns) with lists of one entry per sample, and
returns a list of numbers, None where it has no opinion. Columns are "answer", "task", "image" (what was drawn) and "shown" (what was
asked about; both PNG bytes or None), and every key of the samples' metadata. What it prints goes to the run's log; an exception fails the batch, not the worker.
"""
import base64
import importlib.util
import inspect
import json
import os
import sys


def load(place):
    path, _, name = place.rpartition(":")
    spec = importlib.util.spec_from_file_location("reward", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def columns_of(samples):
    columns = {"answer": [s["answer"] for s in samples], "task": [s["task"] for s in samples]}
    for key in ("image", "shown"):
        columns[key] = [base64.b64decode(s[key]) if s.get(key) else None for s in samples]
    for key in {key for s in samples for key in s["metadata"]} - {"prompts", "completions"}:
        columns[key] = [s["metadata"].get(key) for s in samples]
    return columns


def answer(function, request):
    samples = request["samples"]
    columns = columns_of(samples)
    parameters = inspect.signature(function).parameters.values()
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        columns = {key: value for key, value in columns.items() if key in {p.name for p in parameters}}
    try:
        scores = function(prompts=[s["prompt"] for s in samples], completions=[s["response"] for s in samples], **columns)
        line = json.dumps({"id": request["id"], "scores": [None if x is None else float(x) for x in scores]}, allow_nan=False)
    except Exception as error:  # whatever the function does, the batch gets an answer
        line = json.dumps({"id": request["id"], "error": f"{type(error).__name__}: {error}"})
    return line


def serve(place):
    descriptor = int(os.environ["MMADA_REWARD_FD"])
    with os.fdopen(descriptor, "r", encoding="utf-8", closefd=False) as requests:
        def write(line):
            data = (line + "\n").encode()
            while data:
                data = data[os.write(descriptor, data):]

        try:
            function = load(place)
        except Exception as error:
            write(json.dumps({"error": f"{place}: {type(error).__name__}: {error}"}))
            raise
        write('{"protocol": 1}')
        for line in requests:
            write(answer(function, json.loads(line)))


if __name__ == "__main__":
    serve(sys.argv[1])
