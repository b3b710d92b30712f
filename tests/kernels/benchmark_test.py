# SPDX-License-Identifier: MIT
"""The benchmark of the kernels runs every line without a GPU, and says that this is no measurement."""
import os
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(os.environ["MMADA_BENCHMARKS"], "kernels.py")


def run(*flags):
    return subprocess.run([sys.executable, str(SCRIPT), *flags], capture_output=True, text=True)


def test_every_kernel_is_measured_beside_a_rival(tmp_path):
    table = tmp_path / "table.md"
    done = run("--device", "cpu", "--tiny", "--output", str(table))
    assert done.returncode == 0, done.stderr
    text = table.read_text()
    assert "Not a measurement" in text and "Not measured:" in text
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    by = {}
    for kernel, name, *_ in lines:
        by.setdefault(kernel, []).append(name)
    assert len(by) == 20
    for kernel, names in by.items():
        assert names[0] == "this project" and len(names) > 1, (kernel, names)
    for kernel in ("attention forward", "attention backward", "RMSNorm", "RoPE", "SwiGLU", "GroupNorm", "LFQ", "selection", "commit",
                   "head statistics", "masked_token_logprobs"):
        assert any(kernel in name for name in by), kernel
    # what a CPU does not have is said, not hidden
    assert "SDPA cuDNN: " in text.split("Not measured:")[1]
    assert "this project: " not in text


def test_without_a_gpu_a_measurement_is_refused():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 1 and "found no CUDA device" in done.stderr


def test_the_ops_on_a_cpu_are_timed_beside_atens_at_every_type(tmp_path):
    table = tmp_path / "table.md"
    done = subprocess.run([sys.executable, str(SCRIPT.with_name("cpu_ops.py")), "--rounds", "1", "--shapes", "pocket", "--output", str(table)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # it compares the two sides' results, too
    lines = [line.strip("| ").split(" | ") for line in table.read_text().splitlines() if line.startswith("| ")][1:]
    assert len({op for op, *_ in lines}) == 10 and {kind for _, _, kind, *_ in lines} == {"float32", "bfloat16", "float16"}
    assert len(lines) == 28 and all(float(line[-1]) > 0 for line in lines)
