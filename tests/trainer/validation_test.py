# SPDX-License-Identifier: MIT
"""Validation during training: what it draws and says is what the program's verbs make of the saved weights, and training never notices."""
import glob
import json
import subprocess

import pytest
from PIL import Image

from tensorboard_events_test import fields, records
from training_run import PROGRAM, config, losses, straight, train, weights_hash

PROMPTS = ["a red circle", "two green squares"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Files that a validation reads."""
    root = tmp_path_factory.mktemp("asked")
    for i in range(2):
        picture = Image.new("RGB", (64, 64), (255, 255, 255))
        picture.paste((200 * i, 60, 200), (10, 20, 40, 50))
        picture.save(root / f"{i}.png")
    questions = [{"file_name": f"{i}.png", "messages": [{"role": "user", "content": f"what is at {i}?"}]} for i in range(2)]
    (root / "questions.json").write_text(json.dumps(questions))
    (root / "chat.jsonl").write_text("".join(json.dumps({"question": f"what is {i} + 1?", "id": i}) + "\n" for i in range(2)))
    (root / "prompts.txt").write_text(PROMPTS[1] + "\n\n")
    return root


def section(asked, **changes):
    short = {"gen_length": 8, "steps": 4, "block_length": 4}
    return {"every": 6, "prompts": PROMPTS[:1], "prompts_file": f"{asked}/prompts.txt", "panels": 3, "questions": f"{asked}/questions.json",
            "images_root": str(asked), "chat_file": f"{asked}/chat.jsonl", "pictures": {"steps": 3, "guidance_scale": 1.5},
            "answers": short, "chat": {**short, "temperature": 1.0}, **changes}


@pytest.fixture(scope="module")
def run(config, asked, tmp_path_factory):
    output = tmp_path_factory.mktemp("validated")
    train(config, f"experiment.output_dir={output}", "experiment.save_every=6", f"validation={json.dumps(section(asked))}")
    return output


def verb(config, run, name, *flags):
    model = ["--model", f"{run}/checkpoint-6/unwrapped_model", "--threads", "1", "--json", "--seed", "42"]
    done = subprocess.run([PROGRAM, name, *model, *map(str, flags)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def draw(config, run, output, *flags, name="t2i"):
    tokenizer = f"{config.parent}/image/checkpoint-2/unwrapped_model"
    verb(config, run, name, "--image-tokenizer", tokenizer, "--grid", "8x8", "--max-text-length", 48, "--output", output, *flags)
    return Image.open(output).tobytes()


def lines(run, step, task):
    entries = map(json.loads, open(f"{run}/samples/step-{step}/answers.jsonl"))
    return [entry for entry in entries if entry["task"] == task]


def test_training_does_not_notice(config, run):
    assert losses(run) == losses(straight(config))
    assert weights_hash(run, 12) == weights_hash(straight(config), 12)


def test_the_files_are_named_and_complete(run):
    for step in (6, 12):
        names = sorted(path.rsplit("/", 1)[1] for path in glob.glob(f"{run}/samples/step-{step}/*"))
        assert names == ["answers.jsonl", "panel-0.png", "panel-1.png", "panel-2.png",
                         "picture-0-guided.png", "picture-0.png", "picture-1-guided.png", "picture-1.png"]
        assert [line["prompt"] for line in lines(run, step, "t2i")] == PROMPTS
    assert len(glob.glob(f"{run}/samples/*")) == 2


def test_pictures_with_and_without_guidance_are_those_of_t2i(config, run, tmp_path):
    for entry, flags in (("picture", []), ("guided", ["--guidance-scale", 1.5])):
        expected = draw(config, run, tmp_path / f"{entry}.png", "--prompt", PROMPTS[0], "--steps", 3, *flags)
        assert Image.open(f"{run}/samples/step-6/{lines(run, 6, 't2i')[0][entry]}").tobytes() == expected
    assert (tmp_path / "picture.png").read_bytes() != (tmp_path / "guided.png").read_bytes()


def test_panels_show_original_reconstruction_and_one_step_prediction(config, run, tmp_path):
    black = Image.new("L", (64, 64), 0)
    black.save(tmp_path / "black.png")
    counts = []
    for entry in lines(run, 6, "panel"):
        sheet = Image.open(f"{run}/samples/step-6/{entry['picture']}")
        original, reconstruction, predicted = (sheet.crop((2 + 66 * i, 2, 66 + 66 * i, 66)) for i in range(3))
        original.save(tmp_path / "original.png")
        kept = draw(config, run, tmp_path / "kept.png", "--image", tmp_path / "original.png", "--mask", tmp_path / "black.png",
                    "--prompt", "a", name="inpaint")
        assert reconstruction.tobytes() == kept
        (tmp_path / "codes.json").write_text(json.dumps(entry["given_codes"]))
        ids = subprocess.run([PROGRAM, "tokenize", "text", "--tokenizer", f"{config.parent}/text", "--text", entry["caption"]],
                             capture_output=True, text=True, check=True).stdout.strip().split(",")
        cut = ",".join(ids[:48 - 2])  # as training cuts what its budget cannot hold
        drawn = draw(config, run, tmp_path / "predicted.png", "--prompt-ids", cut, "--init-codes", tmp_path / "codes.json",
                     "--steps", 1, "--greedy")
        assert predicted.tobytes() == drawn
        counts.append(entry["given_codes"].count(-1))
    # the cosine schedule at 1/6, 3/6 and 5/6 of 64 codes
    assert counts == [62, 45, 17]
    assert lines(run, 12, "panel") == lines(run, 6, "panel")  # the same samples and codes at every step


def test_answers_are_those_of_mmu_and_text(config, run, asked):
    short = ["--gen-length", 8, "--steps", 4, "--block-length", 4]
    tokenizer = f"{config.parent}/image/checkpoint-2/unwrapped_model"
    first = lines(run, 6, "mmu")[0]
    assert first["answer"] == verb(config, run, "mmu", "--image", asked / "0.png", "--prompt", "what is at 0?", "--grid", "8x8",
                                   "--image-tokenizer", tokenizer, *short)["text"]
    chats = lines(run, 6, "chat")
    assert [chat["question"] for chat in chats] == ["what is 0 + 1?", "what is 1 + 1?"]
    assert chats[0]["answer"] == verb(config, run, "text", "--prompt", "what is 0 + 1?", "--temperature", 1, *short)["text"]
    assert len(lines(run, 6, "mmu")) == 2


def test_tensorboard_shows_the_pictures_and_the_answers(run):
    (path,) = glob.glob(f"{run}/events/events.out.tfevents.*")
    shown = {}
    for event in (dict(fields(record)) for record in records(path)):
        value = dict(fields(dict(fields(event[5]))[1])) if 5 in event else {}
        if 4 in value or 8 in value:
            shown[value[1].decode(), event[2]] = value
    names = {"picture-0", "picture-0-guided", "picture-1", "picture-1-guided", "panel-0", "panel-1", "panel-2", "answers"}
    assert set(shown) == {(f"samples/{name}", step) for name in names for step in (6, 12)}
    png = dict(fields(shown["samples/picture-0", 6][4]))[4]
    assert png == open(f"{run}/samples/step-6/picture-0.png", "rb").read()
    text = shown["samples/answers", 6]
    tensor = dict(fields(text[8]))
    assert tensor[1] == 7 and dict(fields(dict(fields(tensor[2]))[2]))[1] == 1  # DT_STRING of shape [1]
    assert "**what is at 0?**" in tensor[8].decode() and lines(run, 6, "chat")[1]["answer"] in tensor[8].decode()
    assert dict(fields(dict(fields(text[9]))[1]))[1] == b"text"


def test_two_processes_validate_once_and_alike(config, asked, tmp_path):
    flags = ["--nproc", 2, "training.max_train_steps=3"]
    train(config, *flags, f"experiment.output_dir={tmp_path / 'without'}")
    for run in ("a", "b"):
        train(config, *flags, f"experiment.output_dir={tmp_path / run}", f"validation={json.dumps(section(asked, every=3))}")
        assert losses(tmp_path / run) == losses(tmp_path / "without")
    for path in glob.glob(f"{tmp_path}/a/samples/step-3/*"):
        assert open(path, "rb").read() == open(path.replace("/a/", "/b/"), "rb").read()


BAD = [  # changes, part of the message
    ({"prompts": ["word " * 60]}, "validation.prompts"),
    ({"answers": {"gen_length": 200, "steps": 200, "block_length": 200}}, "expected at most the model's max_sequence_length 256"),
    ({"chat": {"gen_length": 250, "steps": 250, "block_length": 250}}, "what is 0 + 1?"),
    ({"prompts_file": "/nowhere.txt"}, "/nowhere.txt"),
    ({"images_root": "/nowhere"}, "/nowhere/0.png"),
    ({"chat_file": "{asked}/questions.json"}, "questions.json"),
    ({"answers": {"gen_length": 8, "block_length": 3}}, "block-length: found 3"),
    ({"pictures": "no_such_sampler"}, "no_such_sampler"),
    ({"picture": 1}, "did you mean `pictures`"),
    ({"chat": {"gen_length": 8, "blocklength": 4}}, "did you mean `block_length`"),
]


@pytest.mark.parametrize("changes, message", BAD, ids=lambda v: str(v)[:40])
def test_mistakes_show_before_the_first_step(config, asked, tmp_path, changes, message):
    changes = {key: value.format(asked=asked) if isinstance(value, str) else value for key, value in changes.items()}
    done = subprocess.run([PROGRAM, "train", "--config", str(config), f"experiment.output_dir={tmp_path}/run",
                           f"validation={json.dumps(section(asked, **changes))}"], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_validation_that_is_never_due_reads_nothing(config, asked, tmp_path):
    never = section(asked, every=0, prompts_file="/nowhere.txt", images_root="/nowhere")
    train(config, f"experiment.output_dir={tmp_path}/run", "training.max_train_steps=2", f"validation={json.dumps(never)}")
    assert not (tmp_path / "run/samples").exists()
