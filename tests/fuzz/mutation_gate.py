# SPDX-License-Identifier: MIT
"""Can the fuzzers see? Deletes each validation check of the parsers in turn (a check's condition is still evaluated, its verdict
ignored) and demands that the fuzz target fails.

    python tests/fuzz/mutation_gate.py [--runs N] [--jobs N] [--check TEXT]... [PARSER...]

Needs the build of tests/fuzz/run.sh (build/fuzz). Each mutant is one changed source, compiled with the build's own flags and
linked with the other objects, then run from the committed corpus. A surviving mutant is an error unless it is listed in
mutation_gate_redundant.py with the reason why the target cannot tell. --check: only the checks that contain a text. Without
PARSER: all but tokenizer, whose few hundred inputs a second make its 33 mutants a matter of hours.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from mutation_gate_redundant import NOT_READING, REDUNDANT

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"


@dataclasses.dataclass(frozen=True)
class Parser:
    target: str  # fuzz_TARGET
    sources: tuple
    corpora: tuple
    runs: int


PARSERS = {
    "safetensors": Parser("safetensors", ("formats/safetensors_header", "formats/safetensors_file"), ("safetensors",), 100000),
    "index": Parser("index", ("formats/checkpoint_files",), ("index",), 100000),
    "json": Parser("json", ("core/json", "core/config"), ("json",), 100000),
    "png": Parser("image", ("formats/image_png",), ("png",), 30000),
    "jpeg": Parser("image", ("formats/image_jpeg",), ("jpeg",), 30000),
    "webp": Parser("image", ("formats/image_webp", "formats/image_file"), ("webp",), 300000),
    "tar": Parser("tar", ("formats/tar_reader",), ("tar",), 100000),
    "tokenizer": Parser("tokenizer", ("formats/bpe_tokenizer", "formats/bpe_model", "formats/bpe_added_tokens", "formats/bpe_pieces",
                                      "formats/bpe_regex", "formats/bpe_unicode", "formats/bpe_decoder"), ("tokenizer",), 20000),
}
# what refuses: the macro, a plain throw, and the helpers that throw
CHECKS = re.compile(r"MMADA_CHECK\(|\bthrow Error\(|(?<=[ {])unexpected\(|(?<![\w:])(?:\w+\.)?fail\(")


@dataclasses.dataclass(frozen=True)
class Mutant:
    parser: str
    source: str
    place: str  # SOURCE:LINE: the check, for people
    check: str  # the whole statement with the condition before it
    text: str   # the changed source


def statement_end(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0 and text[i] == ";":
            return i + 1
    raise ValueError("unbalanced statement")


def condition_of(check):
    """The first argument of an MMADA_CHECK(...), which may read or insert something."""
    depth = 0
    for found in re.finditer(r"""'(?:\\.|[^'\\])'|"(?:\\.|[^"\\])*"|.""", check, re.S):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(found.group(), 0)
        if found.group() == "," and depth == 1:
            return check[len("MMADA_CHECK("):found.start()]
    raise ValueError("a check without a message")


def mutants_of(parser):
    """One for each check of the parser's sources; a refusing event of the JSON reader becomes an ignored one."""
    for source in (f"mmada/{stem}.cpp" for stem in PARSERS[parser].sources):
        text = (ROOT / source).read_text()
        for found in CHECKS.finditer(text):
            if text[:found.start()].endswith(("[[noreturn]] void ", "void Fields::")):
                continue
            end = statement_end(text, found.start())
            plain_event = found.group() == "unexpected(" and text[:found.start()].rstrip().endswith("override {")
            instead = "return true;" if plain_event else "(void)0;"
            if found.group() == "MMADA_CHECK(":
                instead = f"(void)({condition_of(text[found.start():end])});"
            line = text.count("\n", 0, found.start()) + 1
            check = " ".join(text[text.rindex("\n", 0, found.start()):end].split())
            if any(part in check for part in NOT_READING):
                continue
            yield Mutant(parser, source, f"{source}:{line}: {check[:90]}", check, text[:found.start()] + instead + text[end:])


def command_of(source):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"].endswith(source):
            return entry["command"].split()
    raise SystemExit(f"{source} is not in build/fuzz/compile_commands.json: run tests/fuzz/run.sh first")


def build(mutant, folder, built):
    """Compiles the mutant and links it with the other objects of its target; returns the program."""
    (folder / "mutant.cpp").write_text(mutant.text)
    command = command_of(mutant.source)
    command[command.index("-o") + 1] = str(folder / "mutant.o")
    command[command.index("-c") + 1] = str(folder / "mutant.cpp")
    command = [part for i, part in enumerate(command) if not part.startswith("-M") and command[i - 1] not in ("-MT", "-MF")]
    subprocess.run([*command, "-w", "-g0", "-O1"], cwd=BUILD, check=True)  # quicker than as it is built
    objects = [str(path) for folder_of in ("mmada_formats.dir", f"fuzz_{PARSERS[mutant.parser].target}.dir")
               for path in (built / folder_of).glob("**/*.o") if not str(path).endswith(mutant.source.removeprefix("mmada/") + ".o")]
    compiler = next(part for part in command if "clang" in part)
    subprocess.run([compiler, "-fsanitize=fuzzer,address,undefined", str(folder / "mutant.o"), *objects, "-o", str(folder / "fuzz"),
                    "-lpng", "-ljpeg", "-lwebp", "-lpcre2-8", "-lutf8proc", "-larchive", "-lz"], check=True)
    return folder / "fuzz"


def verdict(mutant, runs, built):
    """Whether the mutant survived, and what happened."""
    parser = PARSERS[mutant.parser]
    runs = runs or parser.runs
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            program = build(mutant, folder, built)
        except subprocess.CalledProcessError:
            return True, "does not compile"
        (folder / "grown").mkdir()
        corpora = [str(ROOT / "tests/fuzz/corpus" / corpus) for corpus in parser.corpora]
        done = subprocess.run([program, f"-runs={runs}", "-seed=1", "-max_len=4096", "-malloc_limit_mb=64", "-timeout=20",
                               f"-artifact_prefix={folder}/", str(folder / "grown"), *corpora],
                              capture_output=True, text=True, errors="replace")
        executed = (re.findall(r"^#(\d+)", done.stderr, re.M) or ["0"])[-1]
        reason = re.search(r"(broken promise: .*|ERROR: \S+: .*|runtime error: .*|Assertion .*)", done.stderr)
    if done.returncode == 0:
        why = next((why for part, why in REDUNDANT.get(mutant.parser, {}).items() if part in mutant.check), None)
        return why is None, f"redundant: {why}" if why else f"SURVIVED {runs} runs"
    return False, f"caught after {executed}: {reason.group(1)[:90] if reason else ''}"


def main():
    options = argparse.ArgumentParser(description="Deletes each validation check and expects the fuzzers to notice.")
    options.add_argument("parsers", nargs="*", metavar="PARSER", help=" ".join(PARSERS))
    options.add_argument("--runs", type=int, help="executions of each mutant")
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    options.add_argument("--check", action="append", default=[], help="only checks that contain this text")
    options = options.parse_args()
    unknown = sorted(set(options.parsers) - set(PARSERS))
    if unknown:
        raise SystemExit(f"mutation_gate.py: found parser {unknown[0]!r}, expected some of {' '.join(PARSERS)}")
    mutants = [mutant for parser in options.parsers or [name for name in PARSERS if name != "tokenizer"] for mutant in mutants_of(parser)
               if not options.check or any(part in mutant.check for part in options.check)]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool, tempfile.TemporaryDirectory() as name:
        built = pathlib.Path(name)  # a copy, so that a build at the same time does not matter
        for folder in (BUILD / "mmada/CMakeFiles/mmada_formats.dir", *(BUILD / "tests/fuzz/CMakeFiles").glob("fuzz_*.dir")):
            shutil.copytree(folder, built / folder.name)
        for mutant, (survived, text) in zip(mutants, pool.map(lambda m: verdict(m, options.runs, built), mutants)):
            bad += survived
            print(f"{mutant.place}\n    {text}", flush=True)
    print(f"{len(mutants)} checks deleted, {bad} survived unexplained")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
