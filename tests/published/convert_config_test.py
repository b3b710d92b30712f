# SPDX-License-Identifier: MIT
"""`mmada convert config` makes our configurations of the published stages out of settings as they were published."""
import json
import os
import pathlib
import re
import subprocess

import pytest

PROGRAM = os.environ["MMADA_PROGRAM"]
ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = ROOT / "tests/published/settings"
STAGES = {"stage1_imagenet": "1", "stage2_image_text": "2", "stage3_instruct": "3", "mixed_cot_text": "cot", "mixed_cot_multimodal": "4"}


def read(path):
    return json.loads(re.sub(r"(^|\s)//[^\n]*", "", path.read_text()))


def convert(*arguments, status=0):
    done = subprocess.run([PROGRAM, "convert", "config", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


def changed(tmp_path, old, new, name="stage2_image_text"):
    text = (SETTINGS / f"{name}.yaml").read_text()
    assert text.count(old) == 1, (old, text.count(old))
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, new))
    return path


def converted(tmp_path, old, new, *arguments, name="stage2_image_text"):
    convert(changed(tmp_path, old, new, name), "-o", tmp_path / "out.json", *arguments)
    return read(tmp_path / "out.json")


def refused(tmp_path, old, new, *arguments, name="stage2_image_text"):
    message = convert(changed(tmp_path, old, new, name), "-o", tmp_path / "out.json", *arguments, status=1).stderr
    assert not (tmp_path / "out.json").exists() and message.count("\n") == 1
    return message


@pytest.mark.parametrize("name, stage", STAGES.items())
def test_every_published_stage_becomes_our_configuration_of_it_field_by_field(tmp_path, name, stage):
    for flags in ((), ("--stage", stage)):
        answer = json.loads(convert(SETTINGS / f"{name}.yaml", "-o", tmp_path / "out.json", "--json", *flags).stdout)
        assert answer["stage"] == stage
        ours, expected = read(tmp_path / "out.json"), read(ROOT / f"configs/train/{name}.json")
        del ours["validation"], expected["validation"]  # see below
        assert ours.keys() == expected.keys()
        for key in expected:
            assert ours[key] == expected[key], key


def sampler(name_or_fields):
    """Its fields, without those that a sampler has by itself."""
    fields = read(ROOT / f"configs/sampler/{name_or_fields}.json") if isinstance(name_or_fields, str) else name_or_fields
    return {key: value for key, value in fields.items() if key != "task" and not (key in ("temperature", "cfg_scale") and value == 0)}


@pytest.mark.parametrize("name", STAGES)
def test_what_is_drawn_and_answered_during_training_is_that_of_our_configuration(tmp_path, name):
    prompts = "    validation_prompts_file: validation/text2image_prompts.txt\n"
    asked = ("    mmu_image_root: data/validation/images\n    mmu_validation_prompts_file: data/validation/questions.json\n"
             "    lm_chat_validation_jsonl: data/validation/chat.jsonl\n")
    ours = converted(tmp_path, prompts, prompts.replace("validation/text2image_", "data/validation/") + asked, name=name)["validation"]
    expected = read(ROOT / f"configs/train/{name}.json")["validation"]
    for key in ("pictures", "answers", "chat"):
        assert sampler(ours.pop(key, {})) == sampler(expected.pop(key, {})), key
    assert ours == expected


def test_what_is_not_asked_for_is_not_answered_and_scores_are_named_as_left_out(tmp_path):
    done = convert(SETTINGS / "mixed_cot_text.yaml", "-o", tmp_path / "out.json", "--json")
    assert set(read(tmp_path / "out.json")["validation"]) == {"every", "prompts_file", "panels", "pictures"}
    assert "validation.quantative_prompts_file (CLIPScore, ImageReward) are not taken over" in done.stderr
    assert "lm_chat_validation_jsonl" in done.stderr
    assert {"validation.quantative_prompts_file", "validation.quantative_batch_size"} <= set(json.loads(done.stdout)["left_out"])


def test_comments_and_stderr_say_what_was_decided_and_left_out(tmp_path):
    done = convert(SETTINGS / "stage1_imagenet.yaml", "-o", tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text()
    comments = text[: text.index("{\n")]
    assert "from stage1_imagenet.yaml, the published settings of stage 1." in comments
    assert "mmada convert grow --model LLaDA-8B-Instruct --vocab-size 134656 -o LLaDA-8B-Instruct-grown" in comments
    assert "min_lr_scale is not in the file" in comments and "deduced" in comments
    unread = next(line for line in comments.splitlines() if "read by nothing" in line)
    assert unread == ("// Left out, read by nothing there: experiment.eval_every, model.gradient_checkpointing, dataset.preprocessing.center_crop, "
                      "dataset.preprocessing.random_flip, dataset.params.add_caption_prompt, optimizer.params.scale_lr, training.label_smoothing")
    assert "dataset.params.num_workers" in comments and "wandb" in comments
    assert "deduced" in done.stderr
    assert "deduced" not in convert(SETTINGS / "stage1_imagenet.yaml", "-o", tmp_path / "out.json", "--stage", "1").stderr


def test_rows_are_those_of_all_gpus(tmp_path):
    convert(SETTINGS / "stage3_instruct.yaml", "-o", tmp_path / "out.json", "--gpus", "3")
    assert [flow["rows"] for flow in read(tmp_path / "out.json")["dataset"]["flows"]] == [12, 3, 3]


@pytest.mark.parametrize("old, new, place, value", [
    ("seed: 10086", "seed: 7", ("training", "seed"), 7),
    ("max_grad_norm: 1\n", "max_grad_norm: null\n", ("training", "max_grad_norm"), 0.0),
    ("mixed_precision: \"bf16\"", "mixed_precision: \"no\"", ("dtype",), "fp32"),
    ("resume_from_checkpoint: latest", "resume_from_checkpoint: null", ("experiment", "resume_from_checkpoint"), "none"),
    ("resume_from_checkpoint: latest", "resume_from_checkpoint: runs/x/checkpoint-5", ("experiment", "resume_from_checkpoint"), "runs/x/checkpoint-5"),
    ("scheduler: cosine", "scheduler: linear", ("lr_scheduler", "name"), "linear"),
    ("warmup_steps: 5000", "warmup_steps: 8", ("lr_scheduler", "warmup_steps"), 8),
    ("min_masking_rate: 0.0", "min_masking_rate: 0.25", ("dataset", "flows", 0, "min_masking_rate"), 0.25),
    ("min_masking_rate: 0.0", "predict_all_tokens: True", ("dataset", "flows", 0, "predict_all_tokens"), True),
    ("min_masking_rate: 0.0", "mask_schedule: sigmoid", ("dataset", "flows", 0, "mask_schedule"), "sigmoid"),
    ("\noptimizer:", "\nmask_schedule: {schedule: linear}\n\noptimizer:", ("dataset", "flows", 0, "mask_schedule"), "linear"),
    ("generate_every: 1000", "generate_every: 30", ("validation", "every"), 30),
    ("generation_timesteps: 12", "generation_timesteps: 8", ("validation", "pictures", "steps"), 8),
    ("guidance_scale: 3", "guidance_scale: 2.5", ("validation", "pictures", "guidance_scale"), 2.5),
    ("guidance_scale: 3", "guidance_scale: 3\n  generation_temperature: 0.5", ("validation", "pictures", "temperature"), 0.5),
    ("\noptimizer:", "\nmask_schedule: {schedule: linear}\n\noptimizer:", ("validation", "pictures", "schedule"), "linear"),
    ("shuffle_buffer_size: 1000", "shuffle_buffer_size: 50", ("dataset", "flows", 0, "source", "sources", 1, "source", "buffer"), 50),
])
def test_what_the_file_says_is_taken(tmp_path, old, new, place, value):
    found = converted(tmp_path, old, new)
    for key in place:
        found = found[key]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("line, limit", [("    max_lm_text_length: 100\n", 99), ("", None)])
def test_conversations_of_the_length_that_the_file_says_are_skipped(tmp_path, line, limit):
    config = converted(tmp_path, "    max_lm_text_length: 1536\n", line, name="stage3_instruct")
    source = config["dataset"]["flows"][1]["source"]
    assert source.get("max_tokens") == limit and source.get("tokenizer") == (config["model"]["from"] if limit else None)
    assert all("max_tokens" not in flow["source"] for flow in converted(tmp_path, "    max_lm_text_length: 1536\n", line)["dataset"]["flows"])


def test_a_stage_can_be_said_where_the_keys_tell_another(tmp_path):
    config = converted(tmp_path, "seed: 10086", "seed: 10086", "--stage", "3")
    text = config["dataset"]["flows"][1]
    assert text["flow"] == "lm_chat" and text["source"]["format"] == "chat" and "refinedweb" in text["source"]["path"]


@pytest.mark.parametrize("old, new, parts", [
    ("seed: 10086", "sed: 10086", ["changed.yaml: field `training.seed`", "nothing"]),
    ("log_every: 50", "log_every: 50\n  log_evry: 50", ["changed.yaml: unknown field `experiment.log_evry`", "log_every"]),
    ("\noptimizer:", "\noptimzer: {}\n\noptimizer:", ["`optimzer`", "optimizer"]),
    ("gen_type: t2i", "gen_type: t2i_parquet", ["`dataset.gen_type`", "t2i_parquet", "imagenet1k"]),
    ("und_type: captioning", "und_type: captioning_parquet", ["`dataset.und_type`", "captioning_parquet"]),
    ("w_clip_vit: False", "w_clip_vit: True", ["`model.mmada.w_clip_vit`", "true", "false"]),
    ("warmup_steps: 5000", "warmup_steps: many", ["`lr_scheduler.params.warmup_steps`", "many"]),
    ("learning_rate: ${optimizer.params.learning_rate}", "learning_rate: 1e-3", ["`lr_scheduler.params.learning_rate`", "0.001", "5e-05"]),
    ("learning_rate: ${optimizer.params.learning_rate}", "learning_rate: ${optimizer.params.lr}", ["changed.yaml", "optimizer.params.lr"]),
    ("resolution: ${dataset.preprocessing.resolution}", "resolution: 512", ["`dataset.params.resolution`", "512", "256"]),
    ("    external_cc12m_caption_path: data/cc12m_captions\n", "", ["`dataset.params.external_cc12m_caption_path`", "nothing"]),
    ("pin_memory: True", "pin_memory: True\n    mmu_image_root: data/x", ["`dataset.params.mmu_validation_prompts_file`", "nothing", "mmu_image_root"]),
    ("guidance_scale: 3", "guidance_scale: -3", ["`training.guidance_scale`", "-3"]),
    ("overfit_one_batch: False", "overfit_one_batch: True", ["`training.overfit_one_batch`", "true"]),
    ("vq_model_name: magvitv2", "vq_model_name: magvitv2\n    pretrained_model_path: vq.pt", ["`model.vq_model.pretrained_model_path`", "convert_checkpoint.py"]),
    ("num_new_special_tokens: 0", "num_new_special_tokens: 2", ["`model.mmada.num_new_special_tokens`", "2"]),
])
def test_what_cannot_be_meant_is_one_message_with_the_field(tmp_path, old, new, parts):
    message = refused(tmp_path, old, new)
    assert all(part in message for part in parts), message


def test_data_whose_kind_the_path_does_not_tell_are_named_with_the_known_kinds(tmp_path):
    message = refused(tmp_path, "    train_t2i_shards_path_or_url:\n      - \"data/sa1b", "    train_t2i_shards_path_or_url:\n      - \"data/pets")
    assert "`dataset.params.train_t2i_shards_path_or_url`" in message and "pets" in message and "journeydb" in message


def test_malformed_yaml_is_named_with_line_and_column(tmp_path):
    (tmp_path / "bad.yaml").write_text("training:\n  seed: [1, 2\n")
    assert re.match(r"mmada: .*bad\.yaml:\d+:\d+: found ", convert(tmp_path / "bad.yaml", "-o", tmp_path / "out.json", status=1).stderr)
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.yaml"]


def test_an_unknown_stage_is_a_usage_error(tmp_path):
    assert "cot" in convert(SETTINGS / "stage1_imagenet.yaml", "-o", tmp_path / "out.json", "--stage", "5", status=2).stderr
