# SPDX-License-Identifier: MIT
"""The picture verbs on real files, with random weights: what is kept, what grows, what is written."""
import json
import os
import pathlib
import subprocess

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

PROGRAM, DATA = os.environ["MMADA_PROGRAM"], pathlib.Path(os.environ["MMADA_TEST_DATA"])
IMAGES = DATA / "tiny_magvit"  # 256 codes, factor 4
SPECIAL = {"bos": 370, "soi": 371, "eoi": 372, "t2i": 373, "mmu": 374, "r2i": 375, "image_pad": 376,
           "start_header": 377, "end_header": 378, "eot": 379}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """tiny_mmada with as many codes as tiny_magvit has."""
    directory = tmp_path_factory.mktemp("model")
    weights = load_file(str(DATA / "tiny_mmada" / "model.safetensors"))
    generator = torch.Generator().manual_seed(1)
    for name, tensor in weights.items():
        if name.endswith("wte.weight") or name.endswith("transformer.ff_out.weight"):
            more = torch.randn(128, tensor.shape[1], generator=generator) * tensor.std()
            weights[name] = torch.cat([tensor, more])
    save_file(weights, str(directory / "model.safetensors"))
    config = json.loads((DATA / "tiny_mmada" / "config.json").read_text())
    config.update(vocab_size=640, embedding_size=640, new_vocab_size=640, codebook_size=256, special_token_ids=SPECIAL)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def run(verb, model_dir, *flags, status=0):
    command = [PROGRAM, verb, "--model", str(model_dir), "--image-tokenizer", str(IMAGES), "--threads", "1",
               "--max-text-length", "8", "--steps", "3", *map(str, flags)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result


def test_t2i_writes_the_picture_its_parameters_and_its_steps(model_dir, tmp_path):
    sheet, steps = tmp_path / "sheet.png", tmp_path / "steps"
    result = run("t2i", model_dir, "--prompt-ids", "5,6", "--seed", "7", "--output", tmp_path / "a.png",
                 "--contact-sheet", sheet, "--observe", steps, "--json")
    answer = json.loads(result.stdout)
    assert answer["grid"] == [4, 4] and len(answer["codes"]) == 16 and answer["nfe"] == 3 and answer["seed"] == 7
    picture = Image.open(tmp_path / "a.png")
    assert picture.size == (16, 16)
    assert "Steps: 3" in picture.text["parameters"] and "Seed: 7" in picture.text["parameters"]
    assert sorted(p.name for p in steps.iterdir()) == ["step-0001.png", "step-0002.png", "step-0003.png"]
    assert Image.open(steps / "step-0003.png").tobytes() == picture.tobytes()
    assert Image.open(sheet).size[0] > 3 * 16
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "sheet.png", "steps"]  # no temporary file is left
    again = run("t2i", model_dir, "--prompt-ids", "5,6", "--seed", "7", "--json")
    assert json.loads(again.stdout)["codes"] == answer["codes"]
    other = run("t2i", model_dir, "--prompt-ids", "5,6", "--seed", "8", "--json")
    assert json.loads(other.stdout)["codes"] != answer["codes"]


def test_steps_of_reasoning_show_no_picture(model_dir, tmp_path):
    steps = tmp_path / "steps"
    run_flags = ["--think", "--prompt-ids", "5,6", "--think-tokens", "4", "--think-steps", "2", "--seed", "7", "--json"]
    result = run("t2i", model_dir, *run_flags, "--output", tmp_path / "a.png", "--observe", steps)
    answer = json.loads(result.stdout)
    assert len(answer["reasoning_ids"]) == 4 and answer["nfe"] == 2 + 3
    assert sorted(p.name for p in steps.iterdir()) == ["step-0001.png", "step-0002.png", "step-0003.png"]
    assert Image.open(steps / "step-0003.png").tobytes() == Image.open(tmp_path / "a.png").tobytes()
    assert json.loads(run("t2i", model_dir, *run_flags).stdout)["codes"] == answer["codes"]  # watched or not


def test_without_json_the_answer_is_the_files_name(model_dir, tmp_path):
    result = run("t2i", model_dir, "--prompt-ids", "5", "--output", tmp_path / "a.png")
    assert result.stdout == f"{tmp_path / 'a.png'}\n"
    assert result.stderr == ""  # no progress bar outside a terminal


def striped(path, size):
    picture = Image.new("RGB", size)
    picture.putdata([(x * 15 % 256, y * 15 % 256, 90) for y in range(size[1]) for x in range(size[0])])
    picture.save(path)


def test_inpainting_redraws_what_is_white(model_dir, tmp_path):
    striped(tmp_path / "in.png", (16, 16))
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (8, 0, 16, 16))
    mask.save(tmp_path / "mask.png")
    Image.new("L", (16, 16), 0).save(tmp_path / "keep.png")
    flags = ["--image", tmp_path / "in.png", "--prompt-ids", "5", "--json"]
    kept = json.loads(run("inpaint", model_dir, *flags, "--mask", tmp_path / "keep.png").stdout)
    redrawn = json.loads(run("inpaint", model_dir, *flags, "--mask", tmp_path / "mask.png").stdout)
    assert kept["nfe"] == 0 and redrawn["nfe"] == 3
    for row in range(4):
        assert kept["codes"][4 * row:4 * row + 2] == redrawn["codes"][4 * row:4 * row + 2]
    assert kept["codes"] != redrawn["codes"]


def test_extrapolation_grows_the_picture(model_dir, tmp_path):
    striped(tmp_path / "in.png", (16, 16))
    flags = ["--image", tmp_path / "in.png", "--prompt-ids", "5", "--json", "--output", tmp_path / "out.png"]
    wide = json.loads(run("extrapolate", model_dir, *flags, "--direction", "right *** left").stdout)
    assert wide["grid"] == [4, 8] and wide["nfe"] == 6
    assert Image.open(tmp_path / "out.png").size == (32, 16)
    tall = json.loads(run("extrapolate", model_dir, *flags, "--direction", "down", "--offset", "1").stdout)
    assert tall["grid"] == [7, 4]
    assert tall["codes"][:16] == [code for row in range(4) for code in wide["codes"][8 * row + 2:8 * row + 6]]


def test_extrapolation_shows_the_steps_of_every_move(model_dir, tmp_path):
    striped(tmp_path / "in.png", (16, 16))
    steps = tmp_path / "steps"
    run("extrapolate", model_dir, "--image", tmp_path / "in.png", "--prompt-ids", "5", "--direction", "right *** down",
        "--output", tmp_path / "out.png", "--contact-sheet", tmp_path / "sheet.png", "--observe", steps)
    sizes = [Image.open(path).size for path in sorted(steps.iterdir())]
    assert sizes == [(16, 16)] * 3 + [(24, 16)] * 3  # the window of each move: half of it is the picture so far
    assert Image.open(tmp_path / "sheet.png").size == (6 * 26 + 2, 20)
    out = Image.open(tmp_path / "out.png")
    assert out.size == (24, 24)


def test_pictures_need_an_image_tokenizer_that_fits(model_dir, tmp_path):
    small = DATA / "tiny_mmada"
    result = run("t2i", small, "--prompt-ids", "5", "--output", tmp_path / "a.png", status=1)
    assert "codebook of 256" in result.stderr and "128" in result.stderr
    missing = subprocess.run([PROGRAM, "t2i", "--model", str(model_dir), "--prompt-ids", "5", "--output",
                              str(tmp_path / "a.png")], capture_output=True, text=True)
    assert missing.returncode == 2 and "--image-tokenizer" in missing.stderr
    assert list(tmp_path.iterdir()) == []
