# SPDX-License-Identifier: MIT
"""Bad input of every kind: one message that names the file, the field, what was found and what was expected; status 1; no
crash, no hang, no half-written output. Each case is a file made here and one command."""
import json
import os
import pathlib
import resource
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

PROGRAM = os.environ["MMADA_PROGRAM"]
DATA = pathlib.Path(os.environ["MMADA_TEST_DATA"])
POCKET = DATA.parents[1] / "examples" / "pocket"
CONFIG_OF_POCKET = json.loads((POCKET / "mmada" / "config.json").read_text())
D, H, L, V = (CONFIG_OF_POCKET[key] for key in ("d_model", "n_heads", "n_layers", "vocab_size"))
T, K = CONFIG_OF_POCKET["image_token_offset"], CONFIG_OF_POCKET["codebook_size"]  # text ids, image codes
S, M, MASK = (CONFIG_OF_POCKET[key] for key in ("max_sequence_length", "max_text_length", "mask_token_id"))
TOKENIZER_OF_POCKET = json.loads((POCKET / "mmada" / "tokenizer.json").read_text())
MERGES, ADDED = len(TOKENIZER_OF_POCKET["model"]["merges"]), len(TOKENIZER_OF_POCKET["added_tokens"])
TOO_LONG = f"expected at most the model's max_sequence_length {S}"
MAX_BYTES = 1 << 30  # resident; torch alone takes about 0.3 GB


def run(arguments, status=1):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == status, f"status {done.returncode}: {done.stderr}"
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 < MAX_BYTES
    return done


def refuse(arguments, words, folder, status=1):
    """Runs a command that must fail with all of the words in one message, and leave the folder as it is."""
    before = sorted(folder.rglob("*"))
    done = run(arguments, status)
    assert done.stderr.startswith("mmada: ") and done.stdout == ""
    assert len(done.stderr) < 2000 and "\x1b" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 or "tensors that do not fit" in lines[0], done.stderr  # that one lists them
    for word in words:
        assert word in done.stderr, f"{word!r} is not in: {done.stderr}"
    assert sorted(folder.rglob("*")) == before


def checkpoint(folder, config=None, drop=(), tokenizer=None, source=POCKET / "mmada"):
    """A copy of the pocket model with changes: config keys, keys dropped, a function over tokenizer.json."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")  # 10 MB that most cases do not change
    settings = json.loads((folder / "config.json").read_text())
    settings.update(config or {})
    (folder / "config.json").write_text(json.dumps({k: v for k, v in settings.items() if k not in drop}))
    if tokenizer:
        file = json.loads((folder / "tokenizer.json").read_text())
        tokenizer(file)
        (folder / "tokenizer.json").write_text(json.dumps(file))
    return folder


def text(model, *flags):
    return ["text", "--model", model, "--prompt", "what is 1+2?", "--threads", 1, "--gen-length", 8, "--block-length", 8,
            "--steps", 8, *flags]


def mmu(image, *flags):
    return ["mmu", "--model", POCKET / "mmada", "--image-tokenizer", POCKET / "image_tokenizer", "--sampler", "pocket_text",
            "--prompt", "what color is the star?", "--threads", 1, "--image", image, *flags]


def t2i(*flags):
    return ["t2i", "--model", POCKET / "mmada", "--image-tokenizer", POCKET / "image_tokenizer", "--threads", 1, "--steps", 2,
            *flags]


# ---- safetensors

def pack(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def u8(begin, end):
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


SAFETENSORS = {
    "empty": (lambda good: b"", ["found 0 bytes", "at least 8"]),
    "truncated in the length": (lambda good: good[:5], ["found 5 bytes"]),
    "truncated in the header": (lambda good: good[:100], ["header length of", "expected at most the 92 bytes"]),
    "truncated in the data": (lambda good: good[:len(good) // 2], ["tensor \"", "data_offsets", "expected them within the file's"]),
    "a byte too long": (lambda good: good + b"x", ["data bytes, expected"]),
    "header of 2^60 bytes": (lambda good: struct.pack("<Q", 1 << 60) + good[8:], ["header length of 1152921504606846976", "at most 100000000"]),
    "header beyond the file": (lambda good: struct.pack("<Q", 90_000_000) + good[8:], ["header length of 90000000", "expected at most the"]),
    "overlap": (lambda good: pack({"a": u8(0, 4), "b": u8(2, 6)}, b"123456"), ["tensor \"b\"", "overlap", "found begin 2, expected 4"]),
    "hole": (lambda good: pack({"a": u8(0, 4), "b": u8(5, 9)}, b"123456789"), ["tensor \"b\"", "hole", "found begin 5, expected 4"]),
    "overflowing shape": (lambda good: pack({"a": {"dtype": "F64", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 0]}}), ["tensor \"a\"", "shape overflows, expected fewer than 2^63 bytes"]),
    "not UTF-8": (lambda good: pack(b'{"\xff\xfe":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), ["not valid JSON (in UTF-8) at byte"]),
    "twice the same name": (lambda good: pack(b'{"a":%s,"a":%s}' % ((json.dumps(u8(0, 0)).encode(),) * 2)), ["tensor \"a\" appears twice, expected every name once"]),
    "a zip archive": (lambda good: b"PK\x03\x04" + bytes(100), ["header length"]),
    "other tensors": (lambda good: pack({"a": u8(0, 4)}, b"1234"), [f"{9 * L + 4} tensors that do not fit the configuration", f"missing: model.transformer.wte.weight [{V}, {D}]", "unexpected: a [4]"]),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(name, tmp_path):
    change, words = SAFETENSORS[name]
    model = checkpoint(tmp_path / "model")
    weights = model / "model.safetensors"
    content = change(weights.read_bytes())
    weights.unlink()
    weights.write_bytes(content)
    where = str(model) if name == "other tensors" else str(weights)
    if name == "other tensors":  # lists every tensor
        done = run(text(model))
        assert all(word in done.stderr for word in [*words, where]), done.stderr
        return
    refuse(text(model), [*words, where], tmp_path)


INDEX = {
    "missing shard": ({"weight_map": {"w": "gone.safetensors"}}, ["names \"gone.safetensors\", which is not in the folder"]),
    "leaves the folder": ({"weight_map": {"w": "../../etc/x.safetensors"}}, ["tensor \"w\"", "found \"../../etc/x.safetensors\"", "expected the name of a .safetensors file in the same folder"]),
    "no map": ({"metadata": {}}, ["`weight_map`", "found no object", "expected an object of tensor names to file names"]),
}


@pytest.mark.parametrize("name", INDEX)
def test_index(name, tmp_path):
    content, words = INDEX[name]
    model = checkpoint(tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps(content))
    refuse(text(model), [*words, "model.safetensors.index.json"], tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickles_are_refused_with_the_command_that_converts_them(name, tmp_path):
    model = checkpoint(tmp_path / "model")
    (model / "model.safetensors").rename(model / name)
    refuse(text(model), [str(model), name, "expected safetensors", f"convert_checkpoint.py {model} OUT"], tmp_path)


# ---- config.json

CONFIG = {
    "missing size": ({}, ["d_model"], ["field `d_model`: found nothing, expected a value"]),
    "negative": ({"d_model": -192}, [], ["field `d_model`: found -192, expected an integer from 2"]),
    "text for a number": ({"n_layers": "five"}, [], ["field `n_layers`: found \"five\", expected an integer"]),
    "absurd layers": ({"n_layers": 10**9}, [], ["field `n_layers`: found 1000000000, expected an integer from 1 to 1024"]),
    "absurd width": ({"d_model": 2**40}, [], ["field `d_model`: found 1099511627776"]),
    "beyond 64 bits": ({"d_model": 2**80}, [], ["integer 1208925819614629174706176 does not fit in 64 bits"]),
    "fraction": ({"n_heads": 6.5}, [], ["field `n_heads`: found 6.5, expected an integer"]),
    "heads that do not divide": ({"n_heads": 7, "n_kv_heads": 7}, [], [f"field `n_heads`: found 7, expected a number that divides d_model {D}"]),
    "key heads that do not divide": ({"n_kv_heads": H - 1}, [], [f"field `n_kv_heads`: found {H - 1}, expected a divisor of n_heads {H}"]),
    "fewer rows than ids": ({"embedding_size": V - 1}, [], [f"field `embedding_size`: found {V - 1}, expected at least vocab_size, which is {V}"]),
    "another network": ({"rope": False}, [], ["field `rope`: found false, expected true"]),
    "ties that contradict": ({"weight_tying": True}, [], ["field `tie_word_embeddings`: found false, expected the value of weight_tying"]),
    "codes beyond the ids": ({"codebook_size": 2 * K}, [], [f"found image codes {T} to {T + 2 * K - 1}, expected them below vocab_size {V}"]),
    "codes over special ids": ({"image_token_offset": 10}, [], [f"outside the image codes 10 to {K + 9}"]),
    "a mask the tokenizer has elsewhere": ({"mask_token_id": MASK - 1}, [], [f"mask: found id {MASK - 1}, expected {MASK}"]),
}


@pytest.mark.parametrize("name", CONFIG)
def test_config(name, tmp_path):
    changes, drop, words = CONFIG[name]
    model = checkpoint(tmp_path / "model", changes, drop)
    refuse(text(model), [*words, str(model / "config.json")], tmp_path)


@pytest.mark.parametrize("changes, words", [
    ({"n_layers": L + 1}, [f"missing: model.transformer.blocks.{L}.attn_norm.weight [{D}]"]),
    ({"d_model": 2**20, "n_layers": 1000, "n_heads": 8, "n_kv_heads": 8}, [f"misshapen: model.transformer.wte.weight: found [{V}, {D}], expected [{V}, 1048576]"]),
])
def test_a_configuration_that_contradicts_the_weights(changes, words, tmp_path):
    model = checkpoint(tmp_path / "model", changes)
    done = run(text(model))
    assert all(word in done.stderr for word in [*words, str(model), "tensors that do not fit the configuration"]), done.stderr


@pytest.mark.parametrize("content, words", [
    (b"", ["not valid JSON at byte"]),
    (b'{"d_model": 192', ["not valid JSON at byte"]),
    (b"[1, 2]", ["found a list, expected an object"]),
    (b'{"d_model": 192, "d_model": 192}', ["key \"d_model\" appears twice"]),
    (b'{"d_model": 192, "\xff": 1}', ["not valid JSON at byte"]),
    (b"[" * 100000, ["nested deeper than the 64 levels that are expected at most"]),
    (None, ["cannot be opened for reading: No such file or directory"]),
])
def test_config_that_is_no_json_object(content, words, tmp_path):
    model = checkpoint(tmp_path / "model")
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_bytes(content)
    refuse(text(model), [*words, str(model / "config.json")], tmp_path)


@pytest.mark.parametrize("value, words", [(50, ["found 50", "a square number"]), (2**60, ["found 1073741824x1073741824 tokens", TOO_LONG]),
                                          (2**63 - 1, ["found 9223372036854775807", "a square number"]), ("64", ["found \"64\"", "a square number"])])
def test_an_impossible_picture_grid_in_config(value, words, tmp_path):
    model = checkpoint(tmp_path / "model", {"num_vq_tokens": value})
    refuse(["t2i", "--model", model, "--prompt", "a large red square", "--json", "--threads", 1],
           [*words, f"{model / 'config.json'}: field `num_vq_tokens`"], tmp_path)


IMAGE_TOKENIZER = {
    "levels that differ": (lambda c: c["encoder"].update(ch_mult=[1, 2, 4]), ["`encoder.num_res_blocks`: found 4 numbers, expected one per level: 3"]),
    "absurd bits": (lambda c: c["encoder"].update(z_channels=60), ["`encoder.z_channels`: found 60, expected an integer from 1 to 24"]),
    "halves that differ": (lambda c: c["decoder"].update(z_channels=9), ["`decoder.z_channels`: found 9, expected the encoder's 8"]),
    "unknown key": (lambda c: c["encoder"].update(chanels=16), ["unknown field `encoder.chanels`"]),
}


@pytest.mark.parametrize("name", IMAGE_TOKENIZER)
def test_image_tokenizer_config(name, tmp_path):
    change, words = IMAGE_TOKENIZER[name]
    folder = tmp_path / "image_tokenizer"
    shutil.copytree(POCKET / "image_tokenizer", folder)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    refuse(["tokenize", "image", "--image-tokenizer", folder, "--image", POCKET / "scene.png"],
           [*words, str(folder / "config.json")], tmp_path)


# ---- tokenizer files

def split(pattern):
    return lambda file: file.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})


TOKENIZER = {
    "open group": (split("(a"), ["field `pre_tokenizer`: found the regular expression \"(a\" with a group without its )", "expected"]),
    "unknown property": (split("\\p{Nonsense}"), ["found the bad regular expression \"\\p{Nonsense}\"", "expected one that compiles"]),
    "huge pattern": (split("a" * 20000), ["found a regular expression of 20000 bytes, expected at most 16384"]),
    "pattern that drives a terminal": (split("(\x1b[2J" + "a" * 10000), ["\\x1b[2J", "..."]),
    "merge of unknown parts": (lambda f: f["model"]["merges"].append("zq zq"), [f"field `model.merges`[{MERGES}]: found the part \"zq\", expected a token of the vocabulary"]),
    "merge that makes no token": (lambda f: f["model"]["merges"].append("a q"), [f"`model.merges`[{MERGES}]: found the result \"aq\", expected a token"]),
    "merge without a space": (lambda f: f["model"]["merges"].append("ab"), [f"`model.merges`[{MERGES}]: found \"ab\", expected two tokens with one space between"]),
    "merge twice": (lambda f: f["model"]["merges"].append(f["model"]["merges"][0]), ["a second time, expected every merge once"]),
    "two tokens of one id": (lambda f: f["model"]["vocab"].update({"\x1b[31mzz": 20}), ["id 20: found both", "expected one token"]),
    "gap in the ids": (lambda f: f["model"]["vocab"].update({"zz": 5000}), [f"token \"zz\": found id 5000, expected ids without gaps, at most {T + ADDED}"]),
    "another model": (lambda f: f["model"].update(type="WordPiece"), ["field `model.type`: found \"WordPiece\", expected one of \"BPE\""]),
    "more ids than the model": (lambda f: f["model"]["vocab"].update({f"token{i}": T + i for i in range(K + 44)}), [f"field `vocab_size`: found {V}, expected at least the tokenizer's {V + 44}"]),
}


@pytest.mark.parametrize("name", TOKENIZER)
def test_tokenizer_json(name, tmp_path):
    change, words = TOKENIZER[name]
    model = checkpoint(tmp_path / "model", tokenizer=change)
    file = "config.json" if name == "more ids than the model" else "tokenizer.json"
    refuse(text(model), [*words, str(model / file)], tmp_path)


def test_tokenizer_json_that_ends_early(tmp_path):
    model = checkpoint(tmp_path / "model")
    file = model / "tokenizer.json"
    file.write_bytes(file.read_bytes()[:5000])
    refuse(text(model), [str(file), "not valid JSON at byte"], tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is no protocol buffer", bytes(range(256)) * 40])
def test_sentencepiece_model(content, tmp_path):
    (tmp_path / "t.model").write_bytes(content)
    refuse(["tokenize", "text", "--tokenizer", tmp_path / "t.model", "--text", "a"],
           [str(tmp_path / "t.model"), "expected a SentencePiece model"], tmp_path)


# ---- pictures

def png(width, height, rows=b"", depth=8, kind=2):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def saved(tmp_path, ending):
    path = tmp_path / ("good" + ending)
    Image.open(POCKET / "scene.png").convert("RGB").save(path)
    data = bytearray(path.read_bytes())
    path.unlink()
    return data


def damaged(tmp_path, ending, cut=None, flip=None):
    data = saved(tmp_path, ending)
    for at in flip or ():
        data[at] ^= 0xFF
    return bytes(data[:cut])


PICTURES = {
    "empty": (lambda t: b"", ["found an empty file, expected a PNG, JPEG or WebP picture"]),
    "text": (lambda t: b"hello \x1b[31m", ["found a file that begins with \"hello \\x1b[\", expected a PNG, JPEG or WebP picture"]),
    "GIF": (lambda t: b"GIF89a" + bytes(50), ["found a file that begins with \"GIF89a"]),
    "PNG cut": (lambda t: damaged(t, ".png", cut=300), ["damaged PNG picture: "]),
    "PNG with a wrong checksum": (lambda t: damaged(t, ".png", flip=[80]), ["damaged PNG picture: "]),
    "JPEG cut": (lambda t: damaged(t, ".jpg", cut=700), ["damaged JPEG picture: "]),
    "JPEG of noise": (lambda t: saved(t, ".jpg")[:-300] + b"\xff" * 50 + saved(t, ".jpg")[-250:], ["damaged JPEG picture: "]),
    "WebP cut": (lambda t: damaged(t, ".webp", cut=60), ["WebP picture: "]),
    "no width": (lambda t: png(0, 4), ["found a picture of 0x4, expected sides from 1 to 65536"]),
    "no height": (lambda t: png(4, 0), ["found a picture of 4x0, expected sides from 1 to 65536"]),
    "100000 x 100000": (lambda t: png(100000, 100000), ["found a picture of 100000x100000, expected sides from 1 to 65536"]),
    "20000 x 20000 of zeros": (lambda t: png(20000, 20000, bytes(20000 * 60001)), ["found a picture of 20000x20000 = 400000000 pixels, expected at most 67108864"]),
    "8000 x 8000 without data": (lambda t: png(8000, 8000), ["found 8 bytes of PNG data, which do not fit the 192008000 bytes of its rows"]),
    "16 x 16 with 10 MB behind it": (lambda t: png(16, 16, os.urandom(10_000_000)), ["bytes of PNG data, which do not fit the 784 bytes of its rows"]),
    "60000 x 1": (lambda t: png(60000, 1, bytes(180001)), ["found a picture of 60000x1, which would pass through", "expected at most 67108864 pixels"]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, tmp_path):
    make, words = PICTURES[name]
    (tmp_path / "in.img").write_bytes(make(tmp_path))
    words = [*words, str(tmp_path / "in.img")]
    refuse(mmu(tmp_path / "in.img"), words, tmp_path)
    refuse(["inpaint", *t2i()[1:], "--image", POCKET / "scene.png", "--mask", tmp_path / "in.img", "--prompt", "a small red star",
            "--output", tmp_path / "out.png"], words, tmp_path)


def test_a_picture_file_above_the_limit_is_refused_unread(tmp_path):
    with open(tmp_path / "in.png", "wb") as file:
        file.truncate(1 << 40)
    refuse(mmu(tmp_path / "in.png"), [str(tmp_path / "in.png"), "found 1099511627776 bytes, expected at most 67108864"], tmp_path)
    refuse(mmu(tmp_path / "none.png"), [str(tmp_path / "none.png"), "No such file or directory"], tmp_path)
    refuse(mmu(tmp_path), [str(tmp_path), "found a folder, expected a file"], tmp_path)


@pytest.mark.parametrize("mode", ["L", "I;16", "LA", "RGBA", "P", "1"])
def test_grey_16_bit_alpha_and_palette_pictures_are_read(mode, tmp_path):
    picture = Image.open(POCKET / "scene.png").convert("RGB")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "in.png")
    run(["tokenize", "image", "--image-tokenizer", POCKET / "image_tokenizer", "--image", tmp_path / "in.png"], status=0)


# ---- requests

def test_prompts_longer_than_the_model_or_the_budget(tmp_path):
    refuse(["text", "--model", POCKET / "mmada", "--prompt-ids", ",".join(["5"] * (S + 44))],
           [f"found a row of {S + 172} tokens", TOO_LONG], tmp_path)
    refuse(t2i("--prompt", "a large red square " * 30, "--output", tmp_path / "out.png"),
           ["caption: found", f"tokens with bos and eos, expected at most the text budget {M} (max-text-length)"], tmp_path)
    refuse(["infill", "--model", POCKET / "mmada", "--prompt", "[MASK:" + "9" * 100_000 + "]"],
           ["hole \"[MASK:999", "expected 1 to 1048576"], tmp_path)


@pytest.mark.parametrize("arguments, words", [
    (["text", "--prompt-ids", f"5,{V}"], [f"id at position 1: found {V}, expected 0 to {V - 1}"]),
    (["t2i", "--prompt-ids", f"5,{V}", "--json"], [f"found {V}, expected 0 to {V - 1}"]),
    (["infill", "--prompt-ids", f"5,{MASK},9999999999"], [f"id at position 2: found 9999999999, expected 0 to {V - 1}"]),
    (["infill", "--prompt-ids", "5,6"], ["infill: found no hole, expected at least one"]),
])
def test_ids_out_of_range(arguments, words, tmp_path):
    refuse([arguments[0], "--model", POCKET / "mmada", *arguments[1:], "--threads", 1], words, tmp_path)


@pytest.mark.parametrize("content, words", [
    ([K] + [0] * 63, [f"code 0: found {K}, expected a whole number from 0 to {K - 1}, or -1"]),
    ([-2] + [0] * 63, ["code 0: found -2"]),
    ([2**64 - 1] + [0] * 63, ["code 0: found 18446744073709551615, expected a whole number"]),
    ([0.5] + [0] * 63, ["code 0: found 0.5, expected a whole number"]),
    ([0] * 63, ["found 63 codes, expected 8 x 8 = 64"]),
    ({"codes": []}, ["found an object, expected a list of codes"]),
])
def test_codes_that_do_not_fit(content, words, tmp_path):
    (tmp_path / "codes.json").write_text(json.dumps(content))
    refuse(t2i("--prompt", "a red square", "--init-codes", tmp_path / "codes.json", "--output", tmp_path / "out.png"),
           [*words, str(tmp_path / "codes.json")], tmp_path)


@pytest.mark.parametrize("flags, words, status", [
    (["--gen-length", 10, "--block-length", 4], ["block-length: found 4, expected a divisor of gen-length 10"], 1),
    (["--gen-length", 12, "--block-length", 4, "--steps", 8], ["steps: found 8, expected a multiple of the 3 blocks"], 1),
    (["--gen-length", S - 4, "--block-length", S - 4, "--steps", S - 4], ["found a row of", TOO_LONG], 1),
    (["--steps", 0], ["steps: found 0, expected 1 to"], 2),
    (["--top-p", 2], ["top-p: found 2, expected 0 to 1"], 2),
    (["--remasking", "lowconf"], ["remasking: found \"lowconf\", expected one of"], 2),
    (["--prompt-ids", "5,x"], ["--prompt-ids: found \"5,x\", expected whole numbers"], 2),
])
def test_requests_that_do_not_fit(flags, words, status, tmp_path):
    arguments = ["text", "--model", POCKET / "mmada", "--threads", 1, *flags]
    refuse(arguments if "--prompt-ids" in flags else [*arguments, "--prompt", "hello"], words, tmp_path, status)


@pytest.mark.parametrize("grid, words", [
    (f"16x{S // 16 + 1}", [f"image grid: found 16x{S // 16 + 1} tokens, {TOO_LONG}"]),
    ("100000x100000", [f"image grid: found 100000x100000 tokens, {TOO_LONG}"]),
    (f"16x{S // 16}", [f"found a row of {S + M + 3} tokens", TOO_LONG]),
])
def test_a_grid_that_the_model_cannot_hold(grid, words, tmp_path):
    refuse(t2i("--prompt", "a red square", "--grid", grid, "--output", tmp_path / "out.png"), words, tmp_path)


@pytest.mark.parametrize("tensors, words", [
    ({"input_ids": np.array([[1, V]])}, [f"in.safetensors: tensor \"input_ids\": found ids from 1 to {V}, expected 0 to {V - 1}"]),
    ({"input_ids": np.array([[1.0]])}, ["tensor \"input_ids\": found F64 of shape [1, 1], expected int64 [B, T]"]),
    ({"input_ids": np.zeros((0, 4), np.int64)}, ["tensor \"input_ids\": found I64 of shape [0, 4], expected int64 [B, T] with at least one element"]),
    ({"columns": np.array([1])}, ["tensor \"input_ids\": found none, expected int64 [B, T]"]),
])
def test_logits_requests(tensors, words, tmp_path):
    save_file(tensors, tmp_path / "in.safetensors")
    refuse(["logits", "--model", POCKET / "mmada", "--input", tmp_path / "in.safetensors", "--output", tmp_path / "out.safetensors"],
           words, tmp_path)


@pytest.mark.parametrize("output, words, status", [
    ("none/out.png", ["none/out.png: found no folder", "expected one that exists"], 1),
    ("out.gif", ["out.gif: found the ending \".gif\", expected .png, .jpg, .jpeg or .webp"], 2),
    ("folder.png", ["folder.png: found a folder or device, expected a regular file or none"], 1),
])
def test_outputs_that_cannot_be_written(output, words, status, tmp_path):
    (tmp_path / "folder.png").mkdir()
    refuse(t2i("--prompt", "a red square", "--output", tmp_path / output), words, tmp_path, status)


def test_detokenize_refuses_ids_that_no_token_has(tmp_path):
    refuse(["detokenize", "text", "--tokenizer", POCKET / "mmada", "--ids", f"5,{T}"],
           [f"token 1: found id {T}, expected an id from 0 to {T - 1}"], tmp_path)
