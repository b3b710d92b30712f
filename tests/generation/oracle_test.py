# SPDX-License-Identifier: MIT
"""The program against oracle.py, token for token, on random weights in fp32 (tests/data/tiny_mmada)."""
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest
import torch

import oracle

PROGRAM, DATA = os.environ["MMADA_PROGRAM"], pathlib.Path(os.environ["MMADA_TEST_DATA"])
SPECIAL = {"bos": 370, "soi": 371, "eoi": 372, "t2i": 373, "mmu": 374, "r2i": 375, "image_pad": 376,
           "start_header": 377, "end_header": 378, "eot": 379}
# fp32 logits of this model agree with fp64 to about 1e-5; decisions closer than this may fall either way
SMALLEST_MARGIN = 1e-4
ambiguous, compared = [], []


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """tiny_mmada with ids for the task tokens, which its config.json does not name."""
    directory = tmp_path_factory.mktemp("model")
    shutil.copy(DATA / "tiny_mmada" / "model.safetensors", directory)
    config = json.loads((DATA / "tiny_mmada" / "config.json").read_text())
    config["special_token_ids"] = SPECIAL
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def model(model_dir):
    torch.set_num_threads(1)
    return oracle.Model(model_dir)


def run(verb, model_dir, *flags, **options):
    command = [PROGRAM, verb, "--model", str(model_dir), "--threads", "1", "--json", "--greedy", *flags]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def prompt_of(length, seed):
    return random.Random(seed).sample(range(360), length)


def agree(case, found, expected, margin):
    """Exact equality, unless the oracle itself calls the case a tie."""
    if margin < SMALLEST_MARGIN and found != expected:
        ambiguous.append(case)
        return
    compared.append(case)
    assert found == expected, f"{case}, margin {margin:.2g}"


TEXT = [  # prompt length, gen, block, steps, cfg
    (9, 32, 32, 32, 0.0),
    (9, 32, 8, 16, 0.0),
    (4, 24, 8, 9, 0.0),  # 8 masks over 3 steps: 3, 3, 2
    (4, 24, 24, 5, 0.0),
    (1, 16, 4, 4, 0.0),
    (7, 12, 4, 18, 0.0),  # more steps than tokens
    (9, 32, 8, 16, 1.5),
    (20, 21, 7, 6, 0.7),
    (5, 24, 12, 10, 4.0),
]


@pytest.mark.parametrize("compat", ["reference", "fixed"])
@pytest.mark.parametrize("case", TEXT, ids=str)
def test_text(model, model_dir, case, compat):
    length, gen, block, steps, cfg = case
    prompt = prompt_of(length, seed=length + gen)
    answer = run("text", model_dir, prompt_ids=prompt, gen_length=gen, block_length=block, steps=steps, cfg_scale=cfg,
                 compat=compat)
    ids, passes, margin = oracle.text(model, prompt, gen, block, steps, cfg, compat)
    agree(("text", case, compat), answer["ids"], ids, margin)
    if answer["ids"] == ids:
        assert answer["nfe"] == passes
        assert answer["new_ids"] == ids[length:]


@pytest.mark.parametrize("compat", ["reference", "fixed"])
def test_text_with_masks_in_the_prompt(model, model_dir, compat):
    prompt = prompt_of(10, seed=3)
    prompt[2] = prompt[7] = model.mask
    answer = run("text", model_dir, prompt_ids=prompt, gen_length=16, block_length=8, steps=8, compat=compat)
    ids, _, margin = oracle.text(model, prompt, 16, 8, 8, 0.0, compat)
    agree(("masks in prompt", compat), answer["ids"], ids, margin)


@pytest.mark.parametrize("mode", ["hard", "none", "additive_one"])
def test_understanding_in_every_attention_mode(model, model_dir, mode):
    codes = random.Random(5).choices(range(model.codebook), k=16)
    prompt = [SPECIAL["mmu"], SPECIAL["soi"], *[model.offset + c for c in codes], SPECIAL["eoi"], *prompt_of(6, seed=8)]
    answer = run("mmu", model_dir, prompt_ids=prompt, gen_length=16, block_length=8, steps=8, compat="reference",
                 attention_mode=mode)
    ids, _, margin = oracle.text(model, prompt, 16, 8, 8, 0.0, "reference", mode)
    agree(("mmu", mode), answer["ids"], ids, margin)


def test_infill(model, model_dir):
    ids = [SPECIAL["bos"], *prompt_of(12, seed=4), model.eos]
    for place in (2, 3, 6, 9, 10):
        ids[place] = model.mask
    for steps in (1, 3, 5):
        answer = run("infill", model_dir, prompt_ids=ids, steps=steps)
        expected, margin = oracle.infill(model, ids, steps)
        agree(("infill", steps), answer["ids"], expected, margin)


IMAGE = [  # caption length, rows, columns, M, steps, guidance, schedule, attention mode
    (5, 4, 4, 16, 6, 0.0, "cosine", "hard"),
    (5, 4, 4, 16, 6, 0.0, "cosine", "none"),
    (5, 4, 4, 16, 6, 0.0, "cosine", "additive_one"),
    (5, 4, 4, 16, 6, 3.5, "cosine", "hard"),
    (5, 4, 4, 16, 7, 2.0, "cosine", "none"),
    (14, 4, 4, 16, 5, 2.0, "linear", "additive_one"),  # no pads in the conditional row
    (3, 3, 5, 9, 12, 1.5, "sigmoid", "hard"),
    (3, 6, 6, 24, 9, 0.0, "pow2", "hard"),
    (0, 4, 4, 16, 4, 0.0, "cosine", "hard"),
    (4, 4, 4, 16, 20, 0.0, "cosine", "hard"),  # more steps than slots
]


@pytest.mark.parametrize("compat", ["reference", "fixed"])
@pytest.mark.parametrize("case", IMAGE, ids=str)
def test_image(model, model_dir, case, compat):
    length, rows, columns, budget, steps, guidance, name, mode = case
    caption = prompt_of(length, seed=length + steps)
    prompt = {"prompt_ids": caption} if caption else {"prompt_ids": SPECIAL["bos"]}
    answer = run("t2i", model_dir, grid=f"{rows}x{columns}", max_text_length=budget, steps=steps,
                 guidance_scale=guidance, schedule=name, attention_mode=mode, compat=compat, **prompt)
    codes, margin = oracle.t2i(model, caption, [-1] * (rows * columns), budget, steps, guidance, name, compat, mode)
    agree(("image", case, compat), answer["codes"], codes, margin)
    assert answer["grid"] == [rows, columns]
    assert answer["nfe"] == steps


@pytest.mark.parametrize("compat", ["reference", "fixed"])
@pytest.mark.parametrize("known, steps, guidance", [(10, 4, 0.0), (3, 6, 2.5), (15, 3, 0.0)])
def test_partly_known_image(model, model_dir, tmp_path, known, steps, guidance, compat):
    rng = random.Random(known)
    codes = [rng.randrange(model.codebook) for _ in range(16)]
    for place in rng.sample(range(16), 16 - known):
        codes[place] = -1
    (tmp_path / "codes.json").write_text(json.dumps(codes))
    caption = prompt_of(6, seed=known)
    answer = run("t2i", model_dir, prompt_ids=caption, grid="4x4", max_text_length=12, steps=steps,
                 guidance_scale=guidance, compat=compat, init_codes=tmp_path / "codes.json")
    expected, margin = oracle.t2i(model, caption, codes, 12, steps, guidance, "cosine", compat)
    agree(("partly known", known, compat), answer["codes"], expected, margin)
    assert all(c == a for c, a in zip(codes, answer["codes"]) if c >= 0)


REASONED = [  # prompt length, codes known, M, (tokens, block, steps, cfg), (steps, guidance)
    (6, 0, 30, (16, 16, 16, 0.0), (6, 0.0)),
    (6, 0, 24, (16, 4, 8, 0.0), (5, 2.5)),
    (9, 0, 22, (12, 6, 4, 0.0), (4, 3.5)),  # all that the budget leaves
    (5, 0, 40, (24, 8, 12, 1.5), (6, 1.0)),
    (2, 0, 30, (24, 24, 12, 4.0), (3, 0.0)),  # guided from little before it
    (1, 0, 30, (20, 5, 20, 8.0), (3, 0.0)),
    (5, 7, 20, (6, 3, 4, 0.0), (4, 2.0)),
    (5, 16, 20, (6, 6, 3, 0.0), (4, 2.0)),  # nothing left to draw
]


@pytest.mark.parametrize("compat", ["reference", "fixed"])
@pytest.mark.parametrize("case", REASONED, ids=str)
def test_reasoning_before_drawing(model, model_dir, tmp_path, case, compat):
    length, known, budget, think, image = case
    prompt = [SPECIAL["bos"], *prompt_of(length - 1, seed=budget), SPECIAL["end_header"]]
    codes = [c if i < known else -1 for i, c in enumerate(random.Random(9).choices(range(model.codebook), k=16))]
    (tmp_path / "codes.json").write_text(json.dumps(codes))
    answer = run("t2i", model_dir, "--think", prompt_ids=prompt, grid="4x4", max_text_length=budget, think_tokens=think[0],
                 think_block=think[1], think_steps=think[2], think_cfg_scale=think[3], steps=image[0], guidance_scale=image[1],
                 compat=compat, init_codes=tmp_path / "codes.json")
    row, passes, margin = oracle.r2i(model, prompt, codes, budget, think, image, compat)
    agree(("reasoned", case, compat), answer["ids"], row, margin)
    if answer["ids"] == row:
        assert answer["nfe"] == passes
        assert answer["reasoning_ids"] == row[1 + len(prompt):1 + len(prompt) + think[0]]
        assert answer["codes"] == [id - model.offset for id in row[budget + 2:-1]]


def test_reasoning_takes_what_the_prompt_leaves_of_the_budget(model, model_dir):
    prompt = [SPECIAL["bos"], *prompt_of(4, seed=2)]
    answer = run("t2i", model_dir, "--think", prompt_ids=prompt, grid="4x4", max_text_length=15, steps=3)
    row, _, margin = oracle.r2i(model, prompt, [-1] * 16, 15, (10, 10, 10, 0.0), (3, 0.0))
    agree(("all of the budget",), answer["ids"], row, margin)


@pytest.mark.parametrize("own", [13, 20, 513])
def test_unconditional_prefix_of_another_length(model, model_dir, own):
    caption = prompt_of(6, seed=1)
    answer = run("t2i", model_dir, prompt_ids=caption, grid="4x4", max_text_length=12, steps=5, guidance_scale=3.0,
                 compat="reference", uncond_prefix_length=own)
    expected, margin = oracle.t2i(model, caption, [-1] * 16, 12, 5, 3.0, uncond_prefix=own)
    agree(("uncond prefix", own), answer["codes"], expected, margin)


def test_few_cases_were_ties():
    """Last: the comparison above means something only where the oracle was sure."""
    assert len(ambiguous) <= len(compared) // 10, ambiguous


BAD = [  # verb, flags, exit status, part of the message
    ("text", ["--prompt-ids", "1,2", "--gen-length", "10", "--block-length", "4"], 1, "block-length: found 4"),
    ("text", ["--prompt-ids", "1,2", "--gen-length", "12", "--block-length", "4", "--steps", "8"], 1, "steps: found 8"),
    ("text", ["--prompt-ids", "1,900"], 1, "found 900"),
    ("text", ["--prompt-ids", "1,x"], 2, "--prompt-ids"),
    ("text", ["--prompt", "hello"], 1, "tokenizer"),
    ("text", ["--prompt-ids", ",".join(["1"] * 200)], 1, "256"),
    ("text", ["--prompt-ids", "1", "--prompt", "x"], 2, ""),
    ("text", ["--prompt-ids", "1", "--sampler", "nothing"], 2, "app_text"),
    ("t2i", ["--prompt-ids", "1,2"], 2, "--output"),
    ("t2i", ["--prompt-ids", "1,2", "--json", "--grid", "4by4"], 2, "4by4"),
    ("t2i", ["--prompt-ids", "1,2,3,4", "--json", "--max-text-length", "5"], 1, "found 6 tokens"),
    ("t2i", ["--prompt-ids", "1,2,3", "--json", "--think", "--max-text-length", "9", "--think-tokens", "6"], 1, "found 6 tokens to generate, expected at most 5: a prompt of 4 tokens"),
    ("t2i", ["--prompt-ids", "1,2,3", "--json", "--think", "--max-text-length", "4"], 1, "expected at most 0"),
    ("t2i", ["--prompt-ids", "1,2,3", "--json", "--think", "--max-text-length", "40", "--think-tokens", "12", "--think-block", "5"], 1, "block-length: found 5"),
    ("t2i", ["--prompt-ids", "1,2,3", "--json", "--think-tokens", "6"], 2, "--think"),
    ("mmu", ["--prompt", "x"], 2, "--image"),
    ("extrapolate", ["--prompt-ids", "1", "--json", "--direction", "right"], 2, "--image or --init-codes"),
]


@pytest.mark.parametrize("verb, flags, status, message", BAD, ids=str)
def test_bad_requests_name_what_is_wrong(model_dir, verb, flags, status, message):
    result = subprocess.run([PROGRAM, verb, "--model", str(model_dir), *flags], capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    assert message in result.stderr
    assert result.stdout == ""
