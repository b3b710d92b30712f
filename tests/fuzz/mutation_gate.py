# SPDX-License-Identifier: MIT
"""Can the fuzzer see? Deletes each validation check of the safetensors reader in turn and demands that the target fails.

    python tests/fuzz/mutation_gate.py [RUNS [LINE_TEXT...]]

Needs the build of tests/fuzz/run.sh (build/fuzz). Each mutant is one changed source, compiled with the build's own flags and
linked with the other objects, then run RUNS times (100,000) from the committed corpus. A surviving mutant is an error unless it
is listed here with the reason why deleting the check cannot be seen in what is accepted. With texts, only the
checks that contain one of them.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"
SOURCES = ["mmada/formats/safetensors_header.cpp", "mmada/formats/safetensors_file.cpp"]
# text of the check -> why the fuzz target cannot tell that it is gone
REDUNDANT = {
    'unexpected("binary")': "JSON text holds no binary values",
    "(value > static_cast<uint64_t>(INT64_MAX))": "becomes a negative dimension, which has no size",
    "limits.safetensors_string_bytes": "bounds the lexer's memory; a name too long is seen, a metadata value is allowed any length",
    "file.size() >= kLengthBytes": "the read that follows fails on a shorter file",
    "header_bytes <= limits.safetensors_header_bytes": "the header's parser checks its length again",
    "header_bytes <= file.size() - kLengthBytes": "the read that follows fails; the check saves the allocation",
    "MMADA_CHECK(within": "guards callers that pass the entry of another file",
    "json.size() <= limits.safetensors_header_bytes": "the file's reader has compared the length before",
    "entry.end <= data_bytes": "with contiguous data the total is compared with the file's below",
    "entry.begin >= covered": "the check for holes refuses it too, with less to say",
    "entry.begin <= entry.end": "a size below zero equals no shape's bytes",
    "!metadata_seen_": "pairs given in two objects are merged, and names the strict parser then refuses",
}


def statement_end(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0 and text[i] == ";":
            return i + 1
    raise ValueError("unbalanced statement")


def mutants():
    """(source, description, changed text) for each check; a refusing event of the JSON reader becomes an ignored one."""
    for source in SOURCES:
        text = (ROOT / source).read_text()
        for found in re.finditer(r"MMADA_CHECK\(|(?<=[ {])unexpected\(", text):
            if text[:found.start()].endswith("[[noreturn]] void "):
                continue
            end = statement_end(text, found.start())
            plain_event = found.group() == "unexpected(" and text[:found.start()].rstrip().endswith("override {")
            instead = "return true;" if plain_event else "(void)0;"
            line = text.count("\n", 0, found.start()) + 1
            whole = " ".join(text[text.rindex("\n", 0, found.start()):end].split())  # with the condition before it
            yield source, f"{source}:{line}: {whole[:90]}", whole, text[:found.start()] + instead + text[end:]


def command_of(source):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"].endswith(source):
            return entry["command"].split()
    raise SystemExit(f"{source} is not in build/fuzz/compile_commands.json: run tests/fuzz/run.sh first")


def survives(mutant, runs, built):
    source, _, _, text = mutant
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "mutant.cpp").write_text(text)
        command = command_of(source)
        command[command.index("-o") + 1] = str(folder / "mutant.o")
        command[command.index("-c") + 1] = str(folder / "mutant.cpp")
        command = [part for i, part in enumerate(command) if not part.startswith("-M") and command[i - 1] not in ("-MT", "-MF")]
        subprocess.run([*command, "-w"], cwd=BUILD, check=True)
        objects = [str(path) for path in built.glob("**/*.o") if not str(path).endswith(source.removeprefix("mmada/") + ".o")]
        compiler = next(part for part in command if "clang" in part)
        subprocess.run([compiler, "-fsanitize=fuzzer,address,undefined", str(folder / "mutant.o"), *objects, "-o",
                        str(folder / "fuzz"), "-lpng", "-ljpeg", "-lwebp", "-lpcre2-8", "-lutf8proc"], check=True)
        shutil.copytree(ROOT / "tests/fuzz/corpus/safetensors", folder / "corpus")
        done = subprocess.run([str(folder / "fuzz"), f"-runs={runs}", "-seed=1", "-max_len=4096", "-malloc_limit_mb=64",
                               "-timeout=20", f"-artifact_prefix={folder}/", str(folder / "corpus")], capture_output=True, text=True)
        executed = re.findall(r"^#(\d+)", done.stderr, re.M)
        reason = re.search(r"(broken promise: .*|ERROR: \S+: .*|runtime error: .*)", done.stderr)
        return done.returncode == 0, executed[-1] if executed else "0", reason.group(1)[:90] if reason else ""


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as name:
        built = pathlib.Path(name)  # a copy, so that a build at the same time does not matter
        for folder in "mmada/CMakeFiles/mmada_formats.dir", "tests/fuzz/CMakeFiles/fuzz_safetensors.dir":
            shutil.copytree(BUILD / folder, built / pathlib.Path(folder).name)
        every = [mutant for mutant in mutants() if not sys.argv[2:] or any(part in mutant[2] for part in sys.argv[2:])]
        for mutant, (alive, executed, reason) in zip(every, pool.map(lambda m: survives(m, runs, built), every)):
            excuse = next((why for part, why in REDUNDANT.items() if part in mutant[2]), None)
            verdict = f"caught after {executed}: {reason}" if not alive else f"redundant: {excuse}" if excuse else "SURVIVED"
            bad += alive and excuse is None
            print(f"{mutant[1]}\n    {verdict}", flush=True)
    print(f"{len(every)} checks deleted, {bad} survived unexplained")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
