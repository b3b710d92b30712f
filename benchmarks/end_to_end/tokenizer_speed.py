# SPDX-License-Identifier: MIT
"""Speed of BpeTokenizer against the `tokenizers` package on one thread: the same files, the same texts, equal ids.

    python benchmarks/end_to_end/tokenizer_speed.py BUILD/bin/bench_tokenizer_speed > benchmarks/results/DATE_tokenizer_speed.json

Texts: the Python standard library's sources (English and code) and the test suite's sentences in many scripts, as lines and
as documents of about 16 KiB. Vocabularies of 32,000 are trained on them here. The package is timed by its fastest call,
encode_batch_fast, without parallelism. Both sides report CPU seconds (the machine may be shared) of their first round, with
empty word caches, and of their best; load time is apart.
"""
import json
import os
import pathlib
import platform
import random
import subprocess
import sys
import sysconfig
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "text"))

import tokenizer_files  # noqa: E402
import tokenizers  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402

ROUNDS = 4


def corpora():
    source = "".join(p.read_text(errors="replace") for p in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")))[:3_000_000]
    draw = random.Random(3)
    words = " ".join(tokenizer_files.SENTENCES).split(" ")
    scripts = "\n".join(" ".join(draw.choices(words, k=12)) for _ in range(20_000))
    cut = 16_384
    documents = {"python": source, "scripts": scripts}
    for name, text in documents.items():
        yield f"{name} documents", [text[i:i + cut] for i in range(0, len(text), cut)]
        yield f"{name} lines", text.splitlines(keepends=True)


def make(pattern, texts, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=32_000, special_tokens=tokenizer_files.SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def time_package(tokenizer, texts):
    best, first, encoded = float("inf"), None, None
    for _ in range(ROUNDS):
        start = time.process_time()
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        took = time.process_time() - start
        first = took if first is None else first
        best = min(best, took)
    return {"first_s": first, "best_s": best, "ids": sum(len(e.ids) for e in encoded)}


def main():
    program = sys.argv[1]
    sets = dict(corpora())
    training = sets["python documents"] + sets["scripts documents"]
    kinds = {
        "gpt2": make(tokenizer_files.GPT2, training),
        "llama3": make(tokenizer_files.LLAMA3, training, ignore_merges=True),
        "llada": make(tokenizer_files.LLADA, training, normalizers.NFC()),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, tokenizer in kinds.items():
            file = f"{folder}/{kind}.json"
            tokenizer.save(file)
            for name, texts in sets.items():
                pathlib.Path(f"{folder}/texts.json").write_text(json.dumps(texts))
                fresh = Tokenizer.from_file(file)  # its word cache is empty, as ours is
                package = time_package(fresh, texts)
                ours = json.loads(subprocess.run([program, file, f"{folder}/texts.json", str(ROUNDS)], check=True,
                                                 capture_output=True, text=True).stdout)
                assert ours["ids"] == package["ids"], (kind, name)
                rows.append({"tokenizer": kind, "texts": name, "bytes": ours["bytes"],
                             "mmada_mb_s": round(ours["bytes"] / ours["best_s"] / 1e6, 1),
                             "package_mb_s": round(ours["bytes"] / package["best_s"] / 1e6, 1),
                             "ratio_best": round(package["best_s"] / ours["best_s"], 2),
                             "ratio_first": round(package["first_s"] / ours["first_s"], 2)})
                print(rows[-1], file=sys.stderr)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    json.dump({"what": "BpeTokenizer against tokenizers, one thread, CPU seconds; ratio > 1: ours is faster",
               "date": time.strftime("%Y-%m-%d"), "commit": commit, "machine": f"{os.cpu_count()} cores {cpu}",
               "command": "python benchmarks/end_to_end/tokenizer_speed.py build/cpu/bin/bench_tokenizer_speed",
               "tokenizers": tokenizers.__version__, "rounds": ROUNDS, "load_average": round(os.getloadavg()[0]), "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
