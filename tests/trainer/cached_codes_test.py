# SPDX-License-Identifier: MIT
"""Image codes cached on disk: a run with them is bit for bit the run without."""
import json
import pathlib
import subprocess

from training_run import PROGRAM, STEPS, config, losses, straight, train, weights_hash


def cached(run, cache, *more):
    return [f"experiment.output_dir={run}", f"image_tokenizer.cached_codes={cache}", "image_tokenizer.cached_pictures=0", *more]


def entries(cache):
    (folder,) = [path for path in pathlib.Path(cache).iterdir()]
    return (folder / "index").stat().st_size // 16, folder


def check_equal(config, run):
    assert losses(run) == losses(straight(config))
    assert weights_hash(run) == weights_hash(straight(config))


def test_cold_warm_and_damaged_caches_change_no_bit(config, tmp_path):
    cache = tmp_path / "codes"
    assert "damaged" not in train(config, *cached(tmp_path / "cold", cache))
    check_equal(config, tmp_path / "cold")
    count, folder = entries(cache)
    assert count > 20
    assert json.loads((folder / "setup.json").read_text())["resolution"] == 64

    assert "damaged" not in train(config, *cached(tmp_path / "warm", cache))
    check_equal(config, tmp_path / "warm")
    assert entries(cache)[0] == count  # nothing was encoded anew

    data = bytearray((folder / "codes").read_bytes())
    record = len(data) // count
    for i in range(0, count, 3):
        data[i * record + 5] ^= 1
    (folder / "codes").write_bytes(data)
    (folder / "index").write_bytes((folder / "index").read_bytes()[:-5])
    assert train(config, *cached(tmp_path / "damaged", cache)).count("is damaged") == 1
    check_equal(config, tmp_path / "damaged")
    assert "damaged" not in train(config, *cached(tmp_path / "mended", cache))
    check_equal(config, tmp_path / "mended")


def test_codes_are_taken_from_the_cache_and_not_made_again(config, tmp_path):
    """The cache's codes decide: with all of them changed, and their checksums with them, the losses change."""
    cache = tmp_path / "codes"
    train(config, *cached(tmp_path / "cold", cache, "training.max_train_steps=2"))
    count, folder = entries(cache)
    keys, data = (folder / "index").read_bytes(), (folder / "codes").read_bytes()
    record, forged = len(data) // count, b""
    for i in range(count):
        codes = bytes(record - 4)
        forged += codes + crc32c(keys[16 * i:16 * i + 16] + codes).to_bytes(4, "little")
    (folder / "codes").write_bytes(forged)
    train(config, *cached(tmp_path / "forged", cache, "training.max_train_steps=2"))
    assert losses(tmp_path / "forged")[1]["step_loss_t2i"] != losses(tmp_path / "cold")[1]["step_loss_t2i"]


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_two_processes_share_a_cache(config, tmp_path):
    cache = tmp_path / "codes"
    train(config, "--nproc", 2, f"experiment.output_dir={tmp_path / 'without'}", "training.max_train_steps=4")
    for run in ("cold", "warm"):
        train(config, "--nproc", 2, *cached(tmp_path / run, cache, "training.max_train_steps=4"))
        assert losses(tmp_path / run) == losses(tmp_path / "without")
    count, folder = entries(cache)
    keys = (folder / "index").read_bytes()
    assert len({keys[i:i + 16] for i in range(0, len(keys), 16)}) == count  # what one has put the other did not put again


def encode(config, *flags):
    return subprocess.run([PROGRAM, "data", "encode", str(config), *map(str, flags)], capture_output=True, text=True, timeout=300)


def test_a_cache_filled_beforehand_in_parts_leaves_training_nothing_to_encode(config, tmp_path):
    cache = tmp_path / "codes"
    for part in range(3):
        done = encode(config, "--parts", 3, "--part", part, "--json", f"image_tokenizer.cached_codes={cache}")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["pictures"] > 0
    count, _ = entries(cache)
    train(config, *cached(tmp_path / "run", cache, "experiment.evaluate_every=0"))
    expected = {step: {k: v for k, v in entry.items() if not k.startswith("gate/")} for step, entry in losses(straight(config)).items()}
    assert losses(tmp_path / "run") == expected
    assert entries(cache)[0] == count


def test_another_tokenizer_or_resolution_has_codes_of_its_own(config, tmp_path):
    cache = tmp_path / "codes"
    for flags in ([], ["image_tokenizer.resolution=32"], ["image_tokenizer.fit=squash"],
                  [f"image_tokenizer.from={config.parent}/image/checkpoint-1/unwrapped_model"]):
        if flags and "checkpoint-1" in flags[0]:
            train(config.parent / "image.json", f"experiment.output_dir={tmp_path}/image", "training.max_train_steps=1")
            flags = [f"image_tokenizer.from={tmp_path}/image/checkpoint-1/unwrapped_model"]
        done = encode(config, "--count", 2, f"image_tokenizer.cached_codes={cache}", *flags)
        assert done.returncode == 0, done.stderr
    assert len(list(cache.iterdir())) == 4


def test_encoding_without_a_cache_and_parts_that_are_not_there_are_refused(config, tmp_path):
    done = encode(config)
    assert done.returncode == 1 and "image_tokenizer.cached_codes" in done.stderr
    done = encode(config, "--parts", 2, "--part", 2, f"image_tokenizer.cached_codes={tmp_path}/codes")
    assert done.returncode == 2 and "--part: found 2" in done.stderr
    assert not (tmp_path / "codes").exists()
