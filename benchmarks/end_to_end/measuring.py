# SPDX-License-Identifier: MIT
"""What the scripts of this folder share: where a figure was measured, a process's memory, a transformer of random weights."""
import datetime
import json
import os
import platform
import subprocess

import torch
from safetensors.torch import save_file


def provenance():
    """The line of a results file that says when, on what and under which load."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return (f"* {datetime.date.today()}, commit {commit}, torch {torch.__version__}, {cpu}, {os.cpu_count()} cores, "
            f"load average {os.getloadavg()[0]:.1f}, {platform.system()}")


def memory_bytes(field):
    """VmRSS of this process, or VmHWM, the highest so far."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


def block_matrices(width, hidden):
    square = {name: (width, width) for name in ("q_proj", "k_proj", "v_proj", "attn_out")}
    return square | {"ff_proj": (hidden, width), "up_proj": (hidden, width), "ff_out": (width, hidden)}


def write_checkpoint(folder, vocabulary, width, layers, heads, hidden, head, mask):
    """A checkpoint in the published layout with this head and random weights, as a trained network's are in size."""
    prefix = "model.transformer."
    state = {prefix + "wte.weight": torch.randn(vocabulary, width), prefix + "ff_out.weight": head,
             prefix + "ln_f.weight": torch.ones(width)}
    for i in range(layers):
        for name, shape in block_matrices(width, hidden).items():
            state[f"{prefix}blocks.{i}.{name}.weight"] = torch.randn(shape) * shape[1] ** -0.5
        for name in ("attn_norm", "ff_norm"):
            state[f"{prefix}blocks.{i}.{name}.weight"] = torch.ones(width)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "d_model": width, "n_heads": heads, "n_kv_heads": heads, "n_layers": layers, "mlp_hidden_size": hidden,
        "vocab_size": vocabulary, "embedding_size": vocabulary, "max_sequence_length": 4096, "rope_theta": 500000.0,
        "rms_norm_eps": 1e-5, "mask_token_id": mask}))
