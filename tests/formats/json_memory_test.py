# SPDX-License-Identifier: MIT
"""JSON whose values would take fifty times its text is refused within 512 MB of address space; a configuration takes at most
64 MB, an index eight times its text (for one long string) and 64 MB."""

import os
import resource
import subprocess

import pytest

PROBE = os.environ["MMADA_FORMATS_PROBE"]
SIZE = 12 << 20


def of_pieces(begin, piece, end):
    return begin + piece * ((SIZE - len(begin) - len(end)) // len(piece)) + end


BOMBS = {
    "numbers": of_pieces(b"[0", b",0", b"]"),
    "lists": of_pieces(b"[[]", b",[]", b"]"),
    "objects": of_pieces(b"[{}", b",{}", b"]"),
    "texts": of_pieces(b'[""', b',""', b"]"),
    "keys": b"{" + b",".join(b'"%d":0' % i for i in range(SIZE // 12)) + b"}",
    "nesting": b"[" * SIZE,
    "one text": b'["' + b"a" * SIZE,
}


@pytest.mark.parametrize("kind", ["json", "index", "tokenizer"])
@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded(kind, name, tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(BOMBS[name])
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    done = subprocess.run([PROBE, kind, tmp_path if kind == "index" else path], capture_output=True, text=True, preexec_fn=limit,
                          env=os.environ | {"MMADA_PROBE_PEAK": "1"}, timeout=60)
    *messages, peak = done.stderr.splitlines()
    assert done.returncode == 1 and len(messages) == 1, done.stderr
    assert messages[0].startswith(f"{path}: ") and "bad_alloc" not in messages[0]
    if kind != "tokenizer":
        assert int(peak) * 1024 < (64 << 20) + (8 * SIZE if kind == "index" else 0)


@pytest.mark.parametrize("name", BOMBS)
def test_a_configuration_below_the_limit_costs_little(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(BOMBS[name][:4 << 20])
    done = subprocess.run([PROBE, "json", path], capture_output=True, text=True, env=os.environ | {"MMADA_PROBE_PEAK": "1"})
    *messages, peak = done.stderr.splitlines()
    assert done.returncode == 1 and len(messages) == 1 and messages[0].startswith(f"{path}: "), done.stderr
    assert int(peak) * 1024 < 64 << 20
