# SPDX-License-Identifier: MIT
"""`mmada plot` draws pictures of runs."""
import json
import os
import subprocess

import pytest
from PIL import Image

PROGRAM = os.environ["MMADA_PROGRAM"]


def plot(*arguments, status=0):
    done = subprocess.run([PROGRAM, "plot", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def run(tmp_path):
    def make(name, level=1.0, tail=""):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        lines = [{"step": step, "loss": level + 10 / step, "lr": 1e-3, "skipped_step": 0.0, "throughput(tps)": 50.0}
                 for step in range(1, 40)] + [{"step": 20, "gate/t2i/gap": level}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
        return folder
    return make


def test_a_runs_picture_lies_beside_its_metrics(run):
    folder = run("first")
    assert plot(folder).stdout == f"{folder}/metrics.png\n"
    with Image.open(folder / "metrics.png") as picture:
        assert picture.format == "PNG" and picture.size == (1200, 800)
        picture.load()


def test_json_says_what_was_drawn(run, tmp_path):
    answer = json.loads(plot(run("first"), run("second", 2.0), "-o", tmp_path / "both.png", "--metrics", "lr,gate", "--smooth", "5", "--json").stdout)
    assert answer == {"output": str(tmp_path / "both.png"), "metrics": ["lr", "gate/t2i/gap"]}
    assert len(Image.open(tmp_path / "both.png").getcolors(1 << 20)) > 20


def test_a_torn_last_line_is_left_out_with_a_note(run):
    folder = run("first", tail='{"step":40,"lo')
    assert plot(folder).stderr == f"note: {folder}/metrics.jsonl: the last line is cut short and left out\n"


def test_a_run_without_metrics_is_one_message_and_leaves_no_picture(tmp_path):
    done = plot(tmp_path, "-o", tmp_path / "out.png", status=1)
    assert done.stderr == f"mmada: {tmp_path}/metrics.jsonl: not found, expected the metrics of a training run\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_metric_or_ending_is_a_usage_error(run, tmp_path):
    assert "skipped_step" in plot(run("first"), "--metrics", "skiped_step", status=2).stderr
    assert "out.pgn" in plot(run("second"), "-o", tmp_path / "out.pgn", status=2).stderr


def test_runs_of_one_name_are_told_apart_by_their_paths(run, tmp_path):
    plot(run("a/run"), run("b/run"), "-o", tmp_path / "paths.png")
    plot(run("c/one"), run("d/two"), "-o", tmp_path / "names.png")
    legend = [Image.open(tmp_path / name).crop((0, 0, 1200, 46)).convert("L").point(lambda v: v < 128 and 255).getbbox()[2] for name in ("paths.png", "names.png")]
    assert legend[0] > 2 * legend[1]  # the longer names take more room
