#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Line coverage of mmada/formats and mmada/core by their unit tests and the replayed fuzz corpora (no Python, no torch).
# Prints a table, and with --missing the lines that no test runs. Fails below 95 % of mmada/formats.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
# shellcheck source=/dev/null
source "$cache/tests.env"
build=$root/build/coverage
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS="--coverage -O0" -DMMADA_CUDA=OFF \
  -DMMADA_BENCHMARKS=OFF -DMMADA_TORCH_DIR="$MMADA_TORCH_DIR" >/dev/null
# without the test of growth: megabytes of text through code that is not optimised take minutes and run no other line
targets=$(ninja -C "$build" -t targets all | sed -nE 's/^((core|formats)_[a-z0-9_]*_test|replay_[a-z]+): phony$/\1/p' | grep -v linear)
# shellcheck disable=SC2086
cmake --build "$build" --target $targets
find "$build" -name '*.gcda' -delete
(cd "$build" && ctest --output-on-failure -R '^(core|formats|fuzz)_' -LE python -E 'NOT_BUILT|linear') | { grep -vE '^ +Start |Passed' || true; }
find "$build/mmada/CMakeFiles/mmada_formats.dir" -name '*.gcda' -print0 |
  xargs -0 gcov --json-format --stdout 2>/dev/null | "$MMADA_PYTHON_ENV/bin/python" -c '
import collections, json, sys
root, missing = sys.argv[1] + "/", "--missing" in sys.argv
runs = collections.defaultdict(lambda: collections.defaultdict(int))  # a header is compiled into several objects
for line in sys.stdin:
    for file in json.loads(line)["files"]:
        name = file["file"].removeprefix(root)
        if name.startswith(("mmada/formats/", "mmada/core/")):
            for entry in file["lines"]:
                runs[name][entry["line_number"]] += entry["count"]
totals = collections.Counter()
for name in sorted(runs):
    run, lines = sum(n > 0 for n in runs[name].values()), len(runs[name])
    folder = name.rsplit("/", 1)[0]
    totals[folder, "run"] += run
    totals[folder, "lines"] += lines
    print(f"{100 * run / lines:6.1f} %  {lines - run:4d} of {lines:4d} not run  {name}")
    if missing and run < lines:
        print("          lines", *(n for n, count in sorted(runs[name].items()) if count == 0))
share = {folder: 100 * totals[folder, "run"] / totals[folder, "lines"] for folder in ("mmada/core", "mmada/formats")}
for folder, percent in share.items():
    print(f"{percent:6.1f} %  {folder}")
sys.exit(share["mmada/formats"] < 95)' "$root" "$@"
