# SPDX-License-Identifier: MIT
"""Verdicts equal the PyPI safetensors reader's on hand-made and mutated files, and each reads what the other wrote."""

import json
import os
import random
import resource
import struct
import subprocess

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

PROBE = os.environ["MMADA_FORMATS_PROBE"]


def pack(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype="U8", shape=(4,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


FOUR = b"1234"
GOOD = {
    "plain": pack({"a": tensor()}, FOUR),
    "empty": pack({}),
    "metadata": pack({"__metadata__": {"k": "v"}, "a": tensor()}, FOUR),
    "empty metadata": pack({"__metadata__": {}}),
    "scalar": pack({"a": tensor("F32", (), (0, 4))}, FOUR),
    "zero size": pack({"z": tensor("F32", (0,), (0, 0)), "a": tensor()}, FOUR),
    "zero size last": pack({"a": tensor(), "z": tensor("F64", (3, 0), (4, 4))}, FOUR),
    "reverse order": pack({"b": tensor(offsets=(4, 8)), "a": tensor()}, FOUR + FOUR),
    "trailing spaces": pack(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}   ', FOUR),
    "trailing newline": pack(b"{}\n"),
    "inner spaces": pack(b'{ "a" :\t{ "dtype":"U8" , "shape":[ 4 ],"data_offsets":[0 ,4]}\n}', FOUR),
    "escaped name": pack(b'{"\\u00e9\\n\\"":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "surrogate pair": pack(b'{"\\ud83d\\ude00":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "empty name": pack({"": tensor()}, FOUR),
    "misaligned": pack({"u": tensor("U8", (1,), (0, 1)), "f": tensor("F32", (1,), (1, 5))}, b"12345"),
}
BAD = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "length alone": struct.pack("<Q", 2),
    "length zero": struct.pack("<Q", 0),
    "length too large": struct.pack("<Q", 10**8 + 1) + b"{}",
    "length 2^63": struct.pack("<Q", 2**63) + b"{}",
    "length 2^64-1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "length beyond file": struct.pack("<Q", 3) + b"{}",
    "truncated header": pack({"a": tensor()}, FOUR)[:30],
    "truncated data": pack({"a": tensor()}, FOUR[:3]),
    "trailing byte": pack({"a": tensor()}, FOUR + b"5"),
    "data without tensors": pack({}, b"1"),
    "list": pack(b"[]"),
    "string": pack(b'"a"'),
    "null": pack(b"null"),
    "not JSON": pack(b"{a}"),
    "open object": pack(b'{"a":'),
    "trailing comma": pack(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},}', FOUR),
    "two objects": pack(b"{}{}"),
    "comment": pack(b"{}//"),
    "NUL padding": pack(b"{}\0\0"),
    "text behind NUL": pack(b'{}\0{"x":1}'),
    "BOM": pack(b"\xef\xbb\xbf{}"),
    "non-UTF-8 name": pack(b'{"\xff":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "overlong UTF-8": pack(b'{"\xc0\xaf":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "lone surrogate": pack(b'{"\\ud800":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "control in name": pack(b'{"a\nb":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "overlap": pack({"a": tensor(), "b": tensor(offsets=(2, 6))}, FOUR + b"56"),
    "same data": pack({"a": tensor(), "b": tensor()}, FOUR),
    "hole": pack({"a": tensor(), "b": tensor(offsets=(5, 9))}, b"123456789"),
    "hole at start": pack({"a": tensor(offsets=(1, 5))}, b"12345"),
    "reversed offsets": pack({"a": tensor(offsets=(4, 0))}, FOUR),
    "offsets outside": pack({"a": tensor(offsets=(0, 5), shape=(5,))}, FOUR),
    "offsets huge": pack({"a": tensor(offsets=(0, 2**64 - 1))}, FOUR),
    "offsets 2^64": pack({"a": tensor(offsets=(0, 2**64))}, FOUR),
    "offsets negative": pack({"a": tensor(offsets=(-4, 0))}, FOUR),
    "offsets fraction": pack(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0.0,4.0]}}', FOUR),
    "offsets one": pack({"a": tensor(offsets=(4,))}, FOUR),
    "offsets three": pack({"a": tensor(offsets=(0, 4, 8))}, FOUR),
    "offsets text": pack(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":"0,4"}}', FOUR),
    "shape too small": pack({"a": tensor(shape=(3,))}, FOUR),
    "shape too large": pack({"a": tensor(shape=(5,))}, FOUR),
    "shape overflow": pack({"a": tensor(shape=(2**32, 2**32), offsets=(0, 0))}),
    "shape overflow by dtype": pack({"a": tensor("F64", (2**61,), (0, 0))}),
    "shape overflow then zero": pack({"a": tensor(shape=(2**63, 2, 0), offsets=(0, 0))}),
    "shape negative": pack({"a": tensor(shape=(-4,))}, FOUR),
    "shape negative twice": pack({"a": tensor(shape=(-2, -2))}, FOUR),
    "shape fraction": pack(b'{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}', FOUR),
    "shape exponent": pack(b'{"a":{"dtype":"U8","shape":[4e0],"data_offsets":[0,4]}}', FOUR),
    "shape number": pack(b'{"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}}', FOUR),
    "shape null": pack(b'{"a":{"dtype":"U8","shape":null,"data_offsets":[0,4]}}', FOUR),
    "shape nested": pack({"a": tensor(shape=([4],))}, FOUR),
    "scalar without data": pack({"a": tensor("F32", (), (0, 0))}),
    "dtype unknown": pack({"a": tensor("X9")}, FOUR),
    "dtype lower case": pack({"a": tensor("u8")}, FOUR),
    "dtype number": pack({"a": tensor(8)}, FOUR),
    "dtype missing": pack({"a": {"shape": [4], "data_offsets": [0, 4]}}, FOUR),
    "shape missing": pack({"a": {"dtype": "U8", "data_offsets": [0, 4]}}, FOUR),
    "offsets missing": pack({"a": {"dtype": "U8", "shape": [4]}}, FOUR),
    "field twice": pack(b'{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "tensor a number": pack({"a": 1}),
    "tensor a list": pack({"a": []}),
    "metadata number": pack({"__metadata__": {"k": 1}}),
    "metadata nested": pack({"__metadata__": {"k": {"l": "m"}}}),
    "metadata list": pack({"__metadata__": []}),
    "metadata text": pack({"__metadata__": "v"}),
    "metadata null value": pack({"__metadata__": {"k": None}}),
    "nested a million": pack(b'{"a":' + b"[" * 10**6),
    "pickle in a zip": b"PK\x03\x04" + bytes(60),
    "polyglot tail": pack({"a": tensor()}, FOUR + b"PK\x05\x06" + bytes(18)),
}
# where this reader refuses more than the published one, and why
STRICTER = {
    "NUL in name": pack(b'{"a\\u0000b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "leading space": pack(b" {}"),  # the format's description forbids it
    "tensor twice": pack(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', FOUR),
    "metadata key twice": pack(b'{"__metadata__":{"k":"1","k":"2"}}'),
    "unknown field": pack({"a": tensor(x=1)}, FOUR),
    "metadata null": pack({"__metadata__": None}),
    "dtype not used here": pack({"a": tensor("F8_E4M3", (4,))}, FOUR),
    "dimension 2^63": pack({"a": tensor(shape=(2**63, 0), offsets=(0, 0))}),
    "65 dimensions": pack({"a": tensor(shape=(1,) * 64 + (4,))}, FOUR),
}


def verdicts(paths):
    lines = []
    for begin in range(0, len(paths), 2000):
        done = subprocess.run([PROBE, "safetensors", *paths[begin:begin + 2000]], capture_output=True, check=True)
        lines += done.stdout.decode().splitlines()
    assert len(lines) == len(paths)
    return [line == "ok" for line in lines], lines


def published_accepts(data):
    try:
        safetensors.deserialize(data)
        return True
    except Exception:
        return False


def write_all(files, folder):
    paths = []
    for number, data in enumerate(files):
        paths.append(str(folder / f"{number}.safetensors"))
        with open(paths[-1], "wb") as file:
            file.write(data)
    return paths


def test_hand_made_files(tmp_path):
    assert len(BAD) >= 60
    for files, expected, published in (GOOD, True, True), (BAD, False, False), (STRICTER, False, True):
        ours, lines = verdicts(write_all(files.values(), tmp_path))
        assert [name for name, accepted in zip(files, ours) if accepted != expected] == [], lines
        assert [name for name, data in files.items() if published_accepts(data) != published] == []


def mutated(rng):
    """A valid file of up to four tensors with one to three changes of its header's numbers, names or bytes."""
    header, begin = {}, 0
    for name in "abcd"[:rng.randrange(1, 5)]:
        dtype, size = rng.choice([("U8", 1), ("BF16", 2), ("F32", 4), ("I64", 8)])
        shape = [rng.randrange(0, 4) for _ in range(rng.randrange(0, 3))]
        end = begin + size * int(np.prod(shape, dtype=np.int64))
        header[name] = tensor(dtype, shape, (begin, end))
        begin = end
    data = bytes(begin)
    for _ in range(rng.randrange(1, 4)):
        entry = header[rng.choice(list(header))]
        change = rng.randrange(8)
        if change < 3:
            entry["data_offsets"][rng.randrange(2)] += rng.choice([-8, -1, 1, 2, 8, 2**62])
        elif change < 5 and entry["shape"]:
            entry["shape"][rng.randrange(len(entry["shape"]))] = rng.choice([0, 1, 2, 3, -1, 2**32, 2**61])
        elif change == 5:
            entry["dtype"] = rng.choice(["U8", "I16", "F32", "F64", "BOOL"])
        elif change == 6:
            data = data[:-1] if rng.random() < 0.5 else data + b"x"
        else:
            entry["data_offsets"] = list(header[rng.choice(list(header))]["data_offsets"])
    packed = bytearray(pack(header, data))
    if rng.random() < 0.25:
        at = rng.randrange(len(packed))
        packed[at] ^= 1 << rng.randrange(8)
    return bytes(packed)


def test_mutated_files(tmp_path):
    rng = random.Random(11)
    files = [mutated(rng) for _ in range(10000)]
    ours, lines = verdicts(write_all(files, tmp_path))
    accepted = sum(ours)
    assert 300 < accepted < 9000, "the mutator no longer reaches both sides"
    for data, verdict, line in zip(files, ours, lines):
        if verdict != published_accepts(data):
            stricter = "appears twice" in line or "unknown field" in line or "dtype \"" in line
            assert not verdict and stricter, f"{line}: {data[8:]}"


def test_each_reads_what_the_other_wrote(tmp_path):
    torch.manual_seed(5)
    tensors = {
        "f32": torch.randn(3, 5), "bf16": torch.randn(7).bfloat16(), "f16": torch.randn(2, 2, 2).half(),
        "f64": torch.randn(1).double(), "i64": torch.tensor(-3), "i32": torch.arange(4, dtype=torch.int32),
        "i16": torch.arange(3, dtype=torch.int16), "i8": torch.arange(5, dtype=torch.int8),
        "u8": torch.arange(3, dtype=torch.uint8), "bool": torch.tensor([True, False]), "none": torch.zeros(0, 3),
        "gr\u00fc\u00df": torch.ones(1),
    }
    theirs, ours = str(tmp_path / "theirs.safetensors"), str(tmp_path / "ours.safetensors")
    save_file(tensors, theirs, metadata={"format": "pt", "note": "\u00e9 \"q\""})
    subprocess.run([PROBE, "rewrite", theirs, ours], check=True)
    read = load_file(ours)
    assert set(read) == set(tensors)
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype and read[name].shape == value.shape
        assert torch.equal(read[name], value)
    with safetensors.safe_open(ours, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "\u00e9 \"q\""}


def lie(rng):
    """A header that promises far more than the file holds, in one or several of its numbers."""
    huge = lambda: rng.choice([10**6, 2**31, 2**32 + 1, 10**12, 10**18, 2**62, 2**63 - 1, 2**64 - 1, 2**64, 10**30])
    shape = [huge() if rng.random() < 0.7 else rng.randrange(4) for _ in range(rng.randrange(1, 6))]
    begin = 0 if rng.random() < 0.7 else huge()
    header = {name: tensor(rng.choice(["U8", "BF16", "F32", "I64"]), shape, (begin, begin + huge())) for name in "ab"[:rng.randrange(1, 3)]}
    data = pack(header, bytes(rng.randrange(64)))
    return data if rng.random() < 0.7 else struct.pack("<Q", rng.choice([10**5, 10**8, 10**8 + 1, 2**40, 2**63, 2**64 - 1])) + data[8:]


def test_two_hundred_lies_cost_no_memory(tmp_path):
    rng = random.Random(3)
    paths = write_all([lie(rng) for _ in range(200)], tmp_path)
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    done = subprocess.run([PROBE, "safetensors", *paths], capture_output=True, text=True, preexec_fn=limit,
                          env=os.environ | {"MMADA_PROBE_PEAK": "1"}, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 200 and all("found" in line or "overflows" in line or "range" in line for line in lines), lines
    assert int(done.stderr.splitlines()[-1]) < 64 * 1024


@pytest.mark.parametrize("lie", ["elements", "header", "tensors", "metadata"])
def test_memory_is_bounded_by_the_file(lie, tmp_path):
    """Within 512 MB of address space, a second and 256 MB: a typed error or the file, never an allocation failure."""
    data = {
        "elements": lambda: pack({"a": tensor("F64", (10**6, 10**12), (0, 8 * 10**18))}, FOUR),
        "header": lambda: struct.pack("<Q", 10**8) + b'{"' + b"a" * (10**8 - 2),
        "tensors": lambda: pack(b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(10**6)) + b"}"),
        "metadata": lambda: pack(b'{"__metadata__":{' + b",".join(b'"%d":""' % i for i in range(10**6)) + b"}}"),
    }[lie]()
    path = tmp_path / "lie.safetensors"
    path.write_bytes(data)
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([PROBE, "safetensors", path], capture_output=True, text=True, preexec_fn=limit,
                          env=os.environ | {"MMADA_PROBE_PEAK": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout and "found" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert int(done.stderr.splitlines()[-1]) < 256 * 1024
