# SPDX-License-Identifier: MIT
"""Every published stage's configuration: its numbers, and the stages in sequence in small, on two processes, from one to the next."""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

PROGRAM = os.environ["MMADA_PROGRAM"]
ROOT = pathlib.Path(__file__).parents[2]
CONFIGS, POCKET = ROOT / "configs/train", ROOT / "examples/pocket"
STAGES = ["stage1_imagenet", "stage2_image_text", "stage3_instruct", "mixed_cot_text", "mixed_cot_multimodal"]
STEPS = 8
SHORT = json.dumps({"gen_length": 8, "steps": 8, "block_length": 8})
# r2i's instruction and reasoning need room, which small pictures leave
BUDGET = dict.fromkeys(STAGES, 48) | {"mixed_cot_r2i": 237}
RESOLUTION = dict.fromkeys(STAGES, 64) | {"mixed_cot_r2i": 32}


def read(stage):
    text = (CONFIGS / f"{stage}.json").read_text()
    return json.loads(re.sub(r"(^|\s)//[^\n]*", "", text))


# SPEC 6.2, rows for 8 GPUs: resolution, M, rows, learning rate, warm-up, steps, min_lr_scale, accumulation, coefficients
PUBLISHED = {
    "stage1_imagenet": (256, 128, (7, 2, 6), 1e-4, 5000, 500000, 0.0, 2, (1, 0.1, 1)),
    "stage2_image_text": (256, 256, (7, 2, 3), 5e-5, 5000, 1000000, 0.1, 2, (1, 0.1, 0.5)),
    "stage3_instruct": (512, 512, (4, 1, 1), 5e-5, 5000, 1000000, 0.1, 4, (1, 0.4, 0.5)),
    "mixed_cot_text": (512, 512, (1, 2, 1), 5e-5, 5000, 1000000, 0.1, 4, (1, 0.5, 0.5)),
    "mixed_cot_multimodal": (512, 512, (1, 2, 1), 5e-5, 5000, 1000000, 0.1, 4, (0.05, 0.6, 0.4)),
}


# SPEC 5.2 and 6.5: guidance and steps of pictures; tokens, steps and block of answers and of chat (of 768 published steps, 512 commit)
VALIDATION = {
    "stage1_imagenet": ((1.5, 12), (128, 128, 128), None),
    "stage2_image_text": ((3, 12), (128, 128, 128), None),
    "stage3_instruct": ((3, 12), (512, 256, 128), (512, 256, 128)),
    "mixed_cot_text": ((5, 20), (512, 256, 128), (512, 512, 128)),
    "mixed_cot_multimodal": ((5, 20), (512, 256, 128), (512, 512, 128)),
}


def sampler(value):
    if isinstance(value, dict):
        return value
    return json.loads(re.sub(r"(^|\s)//[^\n]*", "", (ROOT / f"configs/sampler/{value}.json").read_text()))


@pytest.mark.parametrize("stage", STAGES)
def test_validation_decodes_as_published(stage):
    section = read(stage)["validation"]
    pictures, answers, chat = VALIDATION[stage]
    drawn = sampler(section["pictures"])
    assert (drawn["guidance_scale"], drawn["steps"]) == pictures and section["every"] == 1000
    for name, expected in (("answers", answers), ("chat", chat)):
        found = sampler(section[name]) if name in section else {}
        assert tuple(found.get(key) for key in ("gen_length", "steps", "block_length")) == (expected or (None,) * 3)


@pytest.mark.parametrize("stage", STAGES)
def test_the_numbers_are_the_published_ones(stage):
    resolution, budget, rows, rate, warmup, steps, scale, accumulation, coefficients = PUBLISHED[stage]
    config = read(stage)
    flows = {("lm" if flow["flow"] == "lm_chat" else flow["flow"]): flow for flow in config["dataset"]["flows"]}
    assert config["image_tokenizer"]["resolution"] == resolution and config["dataset"]["max_seq_length"] == budget
    assert tuple(flows[name]["rows"] for name in ("t2i", "lm", "mmu")) == tuple(8 * n for n in rows)
    assert tuple(flows[name]["coefficient"] for name in ("t2i", "lm", "mmu")) == coefficients
    assert flows["t2i"]["cond_dropout_prob"] == 0.1 and flows["t2i"]["mask_schedule"] == "cosine"
    optimizer, schedule, training = (config[name] for name in ("optimizer", "lr_scheduler", "training"))
    assert optimizer == {"learning_rate": rate, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01,
                         "decay_norms": True, "decay_embeddings": True}
    assert schedule == {"name": "cosine", "warmup_steps": warmup, "min_lr_scale": scale}
    assert training == {"max_train_steps": steps, "gradient_accumulation_steps": accumulation, "max_grad_norm": 1.0, "seed": 10086}
    assert config["dtype"] == "bf16" and config["experiment"]["save_every"] == 10000


def test_the_mixtures_are_the_published_ones():
    flows = {flow["flow"]: flow["source"] for flow in read("mixed_cot_multimodal")["dataset"]["flows"]}
    assert [part["weight"] for part in flows["mmu"]["sources"]] == [3.5, 5.5, 0.5, 0.5]
    assert [part["weight"] for part in flows["lm_chat"]["sources"]] == [0.02, 0.98]


# SPEC 6.3 and 6.6: rows of max_lm_text_length tokens or more are skipped
@pytest.mark.parametrize("stage", STAGES[2:])
def test_chat_rows_of_the_published_length_are_skipped(stage):
    config = read(stage)
    source = next(flow["source"] for flow in config["dataset"]["flows"] if flow["flow"] == "lm_chat")
    chats = [part["source"] for part in source.get("sources", [{"source": source}]) if part["source"]["format"] == "chat"]
    assert [(chat["tokenizer"], chat["max_tokens"]) for chat in chats] == [(config["model"]["from"], 1536 - 1)]


def test_reasoning_before_drawing_is_mixed_long_cot_with_rows_for_it():
    published, ours = read("mixed_cot_text"), read("mixed_cot_r2i")
    assert published["dataset"]["flows"][3]["flow"] == "r2i" and published["dataset"]["flows"][3].pop("rows") == 0
    assert ours["dataset"]["flows"][3].pop("rows") > 0
    assert (published["dataset"]["flows"][3]["source"].pop("terminator"), ours["dataset"]["flows"][3]["source"].pop("terminator")) == ("literal", "token")
    del published["experiment"]["output_dir"], ours["experiment"]["output_dir"]
    assert ours == published


# --- data of every kind, where the configurations expect it -----------------------------------------------------------------------

def picture(i):
    image = Image.new("RGB", (64, 64), (255, 255, 255))
    image.paste((40 * i % 256, 90, 255 - 40 * i % 256), (8 + i % 4 * 4, 8, 40, 48))
    return image


def encoded(i, kind="JPEG"):
    buffer = io.BytesIO()
    picture(i).save(buffer, kind)
    return buffer.getvalue()


def shard(path, text_key=None, suffix=".jpg"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for i in range(6):
            members = {f"{i:05}{suffix}": encoded(i, "PNG" if suffix == ".png" else "JPEG")}
            if text_key:
                members[f"{i:05}.json"] = json.dumps({text_key: f"a box of kind {i}"}).encode()
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({"content": rows}), path)


def conversation(question, answer):
    return f"<|start_header_id|>user<|end_header_id|>\n{question}<eot_id><|start_header_id|>assistant<|end_header_id|>\n{answer}<eot_id>"


def write_pictures(folder, count, suffix):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}{suffix}").write_bytes(encoded(i, "PNG" if suffix == ".png" else "JPEG"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("stages")
    base = root / "data"
    for name in ("a_box", "a_bar"):
        write_pictures(base / "imagenet/train" / name, 4, ".jpg")
    (base / "imagenet/classes.txt").write_text("0: bar\n1: box\n")
    (base / "caption_questions.json").write_text(json.dumps(["What is there?", "Describe the picture."]))
    captions = {f"{i:05}": [f"The image features a box of kind {i}. It is small."] for i in range(6)}
    for name, first in [("sa1b", "000000.tar"), ("cc12m", "00000.tar"), ("laion_aesthetics_12m", "00000.tar"), ("journeydb", "000.tgz")]:
        shard(base / name / first)
    shard(base / "text_to_image_2M_512/000000.tar", "prompt")
    for name in ("sa1b_captions", "cc12m_captions", "laion_captions", "journeydb_captions"):
        (base / f"{name}.json").write_text(json.dumps(captions))
    parquet(base / "refinedweb/00000.parquet", [f"A page about the number {i} and its neighbour {i + 1}." for i in range(20)])
    for name in ("instruct", "cot_text"):
        parquet(base / name / "000.parquet", [conversation(f"What is {i} + 1?", f"<think>one more</think>{i + 1}") for i in range(20)])
    for name, suffix in [("ai2d", ".png"), ("docvqa", ".png"), ("clevr", ".jpg"), ("geo", ".jpg")]:
        shard(base / name / f"{name}.tar", suffix=suffix)
        with open(base / name / f"{name}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["image", "question", "solution"])
            rows.writerows([[f"{i:05}{suffix}", "What, if anything, is it?", f"<think>look</think>kind {i}"] for i in range(6)])
    for file, folder in [("llava_v1_5_mix665k", "llava_images"), ("clevr_complex", "clevr_complex_images"), ("geo170k", "geo170k_images")]:
        write_pictures(base / folder, 3, ".jpg")
        (base / f"{file}.json").write_text(json.dumps([{"image": f"{i}.jpg", "conversations": [
            {"from": "human", "value": "<image>\nWhich kind?"}, {"from": "gpt", "value": f"kind {i}"}]} for i in range(3)]))
    write_pictures(base / "r2i", 3, ".jpg")
    for i in range(3):
        (base / f"r2i/{i}.caption").write_text(f"A long story about box {i}.")
        (base / f"r2i/{i}.shortcaption").write_text(f"box {i}")
    write_pictures(base / "validation/images", 1, ".jpg")
    question = {"file_name": "0.jpg", "messages": [{"role": "user", "content": "Which kind?"}]}
    (base / "validation/questions.json").write_text(json.dumps([question]))
    (base / "validation/prompts.txt").write_text("a box\n")
    (base / "validation/chat.jsonl").write_text(json.dumps({"question": "What is 3 + 1?"}) + "\n")
    return root


def small_sources(value, path):
    """Overrides that point every sharded source at its first shard, every caption folder at a file, and every tokenizer at the pocket model's."""
    if isinstance(value, list):
        return [o for i, part in enumerate(value) for o in small_sources(part, f"{path}.{i}")]
    if not isinstance(value, dict):
        return []
    overrides = [o for key, part in value.items() for o in small_sources(part, f"{path}.{key}")]
    if "{" in value.get("path", ""):
        overrides.append(f"{path}.path=" + re.sub(r"\{(\d+)\.\.\d+\}", r"\1", value["path"]))
    if "workers" in value:
        overrides.append(f"{path}.workers=1")
    if "tokenizer" in value:
        overrides.append(f"{path}.tokenizer={POCKET}/mmada")
    if "captions" in value and not value["captions"].endswith(".csv"):
        overrides.append(f"{path}.captions=" + value["captions"].removesuffix(".json") + ".json")
    return overrides


def run(data, stage, model, output, *flags):
    config = read(stage)
    overrides = small_sources(config["dataset"]["flows"], "dataset.flows")
    overrides += [f"dataset.flows.{i}.rows=2" for i, flow in enumerate(config["dataset"]["flows"]) if flow["rows"] > 0]
    overrides += [f"model.from={model}", f"image_tokenizer.from={POCKET}/image_tokenizer", f"image_tokenizer.resolution={RESOLUTION[stage]}",
                  f"dataset.max_seq_length={BUDGET[stage]}", f"experiment.output_dir={output}", "experiment.log_every=1", "experiment.save_every=4",
                  "device=cpu", "dtype=fp32", f"training.max_train_steps={STEPS}", "training.gradient_accumulation_steps=1",
                  f"validation.every={STEPS}", f"validation.answers={SHORT}", f"validation.chat={SHORT}",
                  'validation.pictures={"steps": 3, "guidance_scale": 1.5}', "lr_scheduler.warmup_steps=1", "optimizer.learning_rate=1e-3", "loss.compat=fixed"]
    done = subprocess.run([PROGRAM, "train", "--config", CONFIGS / f"{stage}.json", *overrides, *flags], cwd=data, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


def losses(output):
    with open(f"{output}/metrics.jsonl") as lines:
        return {entry["step"]: entry["loss"] for entry in map(json.loads, lines) if "loss" in entry}


def test_the_stages_train_one_after_the_other_on_two_processes_resume_and_generate(data):
    model = POCKET / "mmada"
    for stage in STAGES:
        output = data / "runs" / stage
        run(data, stage, model, output, "--nproc", "2")
        found = losses(output)
        assert sorted(found) == list(range(1, STEPS + 1))
        assert sum(found[step] for step in range(STEPS - 2, STEPS + 1)) < sum(found[step] for step in (1, 2, 3)), (stage, found)
        again = data / "runs" / f"{stage}_again"
        shutil.copytree(output / "checkpoint-4", again / "checkpoint-4")
        assert "at step 4" in run(data, stage, model, again, "--nproc", "2", "validation.every=0")
        assert losses(again) == {step: loss for step, loss in found.items() if step > 4}
        model = output / f"checkpoint-{STEPS}/unwrapped_model"
        with open(output / f"samples/step-{STEPS}/answers.jsonl") as lines:
            tasks = [json.loads(line)["task"] for line in lines]
        assert tasks == ["t2i"] + ["panel"] * 4 + ["mmu"] + (["chat"] if "chat_file" in read(stage)["validation"] else [])
    picture(1).save(data / "picture.png")
    # with the last stage's model; what every stage's draws and answers lies in its samples, above
    for verb in (["mmu", "--image", "picture.png", "--prompt", "Which kind?", "--image-tokenizer", POCKET / "image_tokenizer", "--gen-length", "8", "--steps", "8", "--block-length", "8"],
                 ["t2i", "--prompt", "a box", "--image-tokenizer", POCKET / "image_tokenizer", "--output", "drawn.png", "--steps", "4", "--grid", "8x8"]):
        done = subprocess.run([PROGRAM, verb[0], "--model", model, *verb[1:]], cwd=data, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert Image.open(data / "drawn.png").size[0] > 0

    reason_and_draw(data)


def reason_and_draw(data):
    """All flows of the configuration that trains r2i, then r2i alone until its reasoning says what its data says."""
    stage, output = "mixed_cot_r2i", data / "runs/r2i"
    run(data, stage, data / f"runs/stage3_instruct/checkpoint-{STEPS}/unwrapped_model", data / "runs" / stage, "--nproc", "2", "validation.every=0")
    assert sorted(losses(data / "runs" / stage)) == list(range(1, STEPS + 1))
    flows = [f"dataset.flows.{i}.rows={4 if flow['flow'] == 'r2i' else 0}" for i, flow in enumerate(read(stage)["dataset"]["flows"])]
    run(data, stage, data / f"runs/{stage}/checkpoint-{STEPS}/unwrapped_model", output, *flows,
        "training.max_train_steps=60", "validation.every=0", "experiment.save_every=60")
    drawn = data / "reasoned.png"
    done = subprocess.run([PROGRAM, "t2i", "--think", "--model", output / "checkpoint-60/unwrapped_model", "--prompt", "box 1", "--grid", "4x4",
                           "--image-tokenizer", POCKET / "image_tokenizer", "--output", drawn, "--max-text-length", str(BUDGET[stage]), "--steps", "4",
                           "--guidance-scale", "1", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "story about box" in answer["reasoning"], answer
    assert answer["reasoning"] in Image.open(drawn).text["parameters"]


# --- reinforcement learning -------------------------------------------------------------------------------------------------------

UNIGRPO = sorted(path.stem for path in CONFIGS.glob("unigrpo_*.json"))
POCKET_MODEL = [f"model.from={POCKET}/mmada_rl_start", f"image_tokenizer.from={POCKET}/image_tokenizer"]
SMALL_8B = ["image_tokenizer.resolution=64", "dataset.max_seq_length=48"]  # what the pocket model has room for


def is_network(reward):
    """Whether the reward is a network, whose weights are not here."""
    return reward["reward"]["type"] in ("clip", "image_reward")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """The 8B configuration's prompts, where it expects them."""
    root = tmp_path_factory.mktemp("prompts")
    folder = root / "data/rl"
    write_pictures(folder, 1, ".png")
    lines = {"gsm8k": {"prompt": "What is 3 + 1?", "answer": "4"}, "geoqa_clevr": {"prompt": "How many?", "answer": "\\sqrt{2}", "image": "0.png"},
             "captioning": {"prompt": "Describe it.", "image": "0.png"}, "captions": {"prompt": "a box"}}
    for name, line in lines.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    return root


def train_unigrpo(folder, name, *flags):
    overrides = POCKET_MODEL + ([] if "pocket" in name else SMALL_8B)
    return subprocess.run([PROGRAM, "train", "--config", CONFIGS / f"{name}.json", *overrides, *flags], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", UNIGRPO)
def test_the_fields_of_reinforcement_learning_are_known_ones(name, prompts):
    rewards = read(name)["rewards"]
    without_networks = [{**reward, "reward": {"type": "format"}} if is_network(reward) else reward for reward in rewards]
    planned = train_unigrpo(prompts, name, "--dry-run", f"rewards={json.dumps(without_networks)}")
    assert planned.returncode == 0, planned.stderr
    for reward in filter(is_network, rewards):  # its fields are read before its weights are missed
        missed = train_unigrpo(prompts, name, "--dry-run", f"rewards={json.dumps([reward])}")
        assert f"{reward['reward']['model']}/config.json: cannot be opened" in missed.stderr


# SPEC 7.1
def test_the_known_numbers_of_reinforcement_learning_are_the_published_ones():
    config = read("unigrpo_8b")
    worth = {reward["name"]: (reward["weight"] * reward["reward"].get("correct", reward["reward"].get("value", 1)), reward.get("tasks") or reward["streams"])
             for reward in config["rewards"]}
    assert worth == {"correct": (2.0, ["gsm8k", "geoqa_clevr"]), "format": (0.5, ["gsm8k", "geoqa_clevr"]), "clip": (0.1, ["t2i"]),
                     "caption_clip": (0.1, ["captions"]), "image_reward": (0.1, ["t2i"])}
    options = config["unigrpo"]
    assert (options["noise"], options["spacing"], options["timesteps"]) == ("structured", "formula", 1000)
    assert (options["kl_against"], options["scale_rewards"], options["length_normalization"]) == ("reference", "group", "masked")


def test_reinforcement_learning_of_8b_takes_an_outer_step_in_small(prompts):
    config, output = read("unigrpo_8b"), prompts / "runs/unigrpo"
    streams = [{**stream, "prompts": 1} for stream in config["dataset"]["prompts"]]
    for stream in streams:
        stream["sampler"] |= {"gen_length": 8, "steps": 4, "block_length": 8} if stream["task"] != "t2i" else {"steps": 2}
    done = train_unigrpo(prompts, "unigrpo_8b", f"dataset.prompts={json.dumps(streams)}", f"rewards={json.dumps([reward for reward in config['rewards'] if not is_network(reward)])}",
                         f"experiment.output_dir={output}", "device=cpu", "dtype=fp32", "threads=1", f"training.max_train_steps={config['unigrpo']['num_iterations']}")
    assert done.returncode == 0, done.stderr
    answered = [json.loads(line) for line in open(output / "completions/step-000000.jsonl")]
    assert [line["stream"] for line in answered[::config["unigrpo"]["num_generations"]]] == ["gsm8k", "geoqa_clevr", "captions", "drawing"]
    assert sorted(losses(output)) == list(range(1, config["unigrpo"]["num_iterations"] + 1))
