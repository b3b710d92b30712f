# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz corpora (corpus/*/seed_*); the other files there are inputs that once found a bug.

python tests/fuzz/make_corpus.py
"""

import gzip
import io
import json
import pathlib
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(folder, name, data):
    (CORPUS / folder).mkdir(parents=True, exist_ok=True)
    (CORPUS / folder / f"seed_{name}").write_bytes(data if isinstance(data, bytes) else data.encode())


def pack(header, data=b""):
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_seeds():
    entry = lambda dtype, shape, begin, end: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    put("safetensors", "empty", pack({}))
    put("safetensors", "one", pack({"a": entry("U8", [4], 0, 4)}, b"1234"))
    put("safetensors", "three", pack({"__metadata__": {"format": "pt"}, "b": entry("F32", [2, 1], 4, 12),
                                      "a": entry("BF16", [2], 0, 4), "z": entry("I64", [0, 3], 12, 12)}, bytes(12)))
    put("safetensors", "scalar", pack({"s": entry("F64", [], 0, 8)}, bytes(8)))


def json_seeds():
    put("index", "two", json.dumps({"metadata": {"total_size": 8}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    put("index", "one", '{"weight_map":{"w":"m.safetensors"}}')
    put("json", "fields", json.dumps({"n": 7, "x": 1.5, "flag": True, "name": "a\u00e9", "kind": "cosine",
                                      "sizes": [1, 2], "weights": [0.5], "names": ["a"], "inner": {"n": 3},
                                      "anything": None, "torch_dtype": "bfloat16"}))
    put("json", "comments", '{"n": 1, // one\n /* two */ "x": -0.5e-1}')
    put("json", "references", '{"a":"${b.c}","b":{"c":[1,"x${n}y"]},"n":3,"d":"${a.0}${a.0}"}')
    put("json", "override", '"a.0.b=7"')
    put("json", "nested", "[" * 12 + "]" * 12 + " ")  # the target's limits of depth and, below, of values
    put("json", "many", json.dumps([0] * 499))
    put("json", "texts", '["\\u00e9\\ud83d\\ude00\\n", "\u00e9", 18446744073709551615, -9223372036854775808, 1e308]')


def tokenizer_seeds():
    vocab = {token: i for i, token in enumerate("a b s t \u0120 ' 1 ab abab st \u00c3 \u00a9 <0x0A>".split())}
    added = lambda content, i, **flags: {"id": i, "content": content, "single_word": False, "lstrip": False,
                                         "rstrip": False, "normalized": False, "special": True, **flags}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = lambda regex, behavior="Isolated": {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior,
                                                "invert": False}
    gpt4 = r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    def tokenizer(name, **parts):
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                 "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                 "vocab": vocab, "merges": ["a b", "ab ab", "s t"]}
        model.update(parts.pop("model", {}))
        put("tokenizer", name, json.dumps({"version": "1.0", "truncation": None, "padding": None,
                                           "added_tokens": [added("<|x|>", 13)], "normalizer": None,
                                           "pre_tokenizer": byte_level, "post_processor": None,
                                           "decoder": byte_level, "model": model, **parts}))

    tokenizer("byte_level")
    tokenizer("gpt4", pre_tokenizer={"type": "Sequence", "pretokenizers": [
        split(gpt4), split("[0-9]", "MergedWithPrevious"), {"type": "Digits", "individual_digits": True},
        {**byte_level, "use_regex": False}]}, model={"merges": [["a", "b"], ["ab", "ab"]], "ignore_merges": True})
    tokenizer("normalized", normalizer={"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Prepend", "prepend": "a"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        added_tokens=[added("<|x|>", 13, normalized=True, lstrip=True), added("test", 14, single_word=True, rstrip=True)])
    tokenizer("fallback", pre_tokenizer={"type": "WhitespaceSplit"},
              model={"unk_token": "s", "fuse_unk": True, "byte_fallback": True},
              decoder={"type": "Sequence", "decoders": [
                  {"type": "Replace", "pattern": {"Regex": "a+"}, "content": " "}, {"type": "ByteFallback"},
                  {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    ends = {token: i for i, token in enumerate("a b b</w> t t</w> ' 1 ab</w> s s</w> \u00c3 \u00a9</w> <0x0A>".split())}
    tokenizer("word_end", model={"end_of_word_suffix": "</w>", "vocab": ends, "merges": ["a b</w>"], "unk_token": "t"})


def adam7(image):
    """An interlaced PNG, which Pillow cannot write: the seven passes by hand, filter 0."""
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in np.asarray(image)[y::dy, x::dx] if row.size)
    head = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def image_seeds():
    y, x = np.mgrid[0:9, 0:11]
    rgb = Image.fromarray(np.stack([20 * x, 25 * y, 9 * x + 9 * y], -1).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray((20 * x + y).astype(np.uint8)))

    def save(folder, name, image, **options):
        out = io.BytesIO()
        image.save(out, folder.upper(), **options)
        put(folder, name, out.getvalue())

    for name, image in {"rgb": rgb, "rgba": rgba, "grey": rgb.convert("L"), "palette": rgb.quantize(7),
                        "bilevel": rgb.convert("1"), "la": rgba.convert("LA")}.items():
        save("png", name, image)
    put("png", "interlaced", adam7(rgb))
    save("png", "grey16", Image.fromarray((x * 5000 + y).astype(np.uint16)))
    for name, subsampling in ("444", 0), ("420", 2):
        save("jpeg", name, rgb, quality=60, subsampling=subsampling)
    save("jpeg", "progressive", rgb, quality=60, progressive=True)
    save("jpeg", "grey", rgb.convert("L"))
    save("jpeg", "cmyk", rgb.convert("CMYK"))
    save("webp", "lossy", rgb, quality=60)
    save("webp", "lossy_alpha", rgba, quality=60)
    save("webp", "lossless", rgba, lossless=True)
    out = io.BytesIO()
    Image.new("RGB", (1, 1), (9, 8, 7)).save(out, "WEBP", lossless=True)
    flat = bytearray(out.getvalue())  # one colour takes no bits: valid data for a picture of any size
    width, height = 1024, 8  # one bit from the target's limits of sides and area
    flat[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14 | struct.unpack("<I", flat[21:25])[0] & 0xF0000000)
    put("webp", "flat", bytes(flat))


def tar_seeds():
    def archive(*members, format=tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as tar:
            for name, data, *more in members:
                entry = tarfile.TarInfo(name)
                entry.size, entry.type, entry.linkname = len(data), *(more or (tarfile.REGTYPE, "")),
                tar.addfile(entry, io.BytesIO(data))
            length = tar.offset
        return out.getvalue()[:length] + bytes(1024)  # not the 10 kB that tarfile pads to

    pair = archive(("a.txt", b"text"), ("a.png", b"\x89PNG" * 150))
    put("tar", "pair", pair)
    put("tar", "gzipped", gzip.compress(pair, mtime=0))
    put("tar", "cut", archive(("a.txt", b"x" * 512))[:1024])
    put("tar", "full", archive(*((f"{i}", b"xy") for i in range(3))))  # the target's limit of members
    put("tar", "folder", archive(("d", b"", tarfile.DIRTYPE, ""), ("./d//b", b"1")))
    put("tar", "links", archive(("s", b"", tarfile.SYMTYPE, "a"), ("h", b"", tarfile.LNKTYPE, "a")))
    put("tar", "pax", archive(("n" * 180 + "\u00e9", b"1"), format=tarfile.PAX_FORMAT))
    put("tar", "gnu", archive(("n" * 180, b"1"), format=tarfile.GNU_FORMAT))
    put("tar", "large", archive(("a", b"z" * 2048)))  # the target's limit of a member's bytes


if __name__ == "__main__":
    tar_seeds()
    safetensors_seeds()
    json_seeds()
    tokenizer_seeds()
    image_seeds()
