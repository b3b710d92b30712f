#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything from a bare machine to a green test suite: sets up, builds (CUDA sources too), runs every test, builds an
# outside project against the installed library, runs the sanitizer build and the fuzzers briefly.
#
#   tests/run.sh          what CI runs
#   tests/run.sh --full   also the long matrices: kernels at many more sizes, fuzzers a million times each, sanitizers over every
#                         test, the parsers with each of their checks deleted (without it: those of the shard index alone; never
#                         tokenizer.json's)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
full=0
case ${1:-} in '') ;; --full) full=1 ;; *) echo "run.sh: unknown argument '$1', expected --full or nothing" >&2; exit 2 ;; esac
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
build=$root/build/tests
mkdir -p "$build"
started=$SECONDS
stage() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - started)); }

stage "set up"
"$root/third_party/setup.sh" tests
# shellcheck source=/dev/null
source "$cache/tests.env"

stage "lint"
"$root/tests/lint.sh"

stage "build, CUDA sources included"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMMADA_CUDA=ON -DMMADA_PRECOMPILE=ON \
  -DMMADA_TORCH_DIR="$MMADA_TORCH_DIR" -DCMAKE_CUDA_COMPILER="$CUDACXX" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" | tee "$build/build.log"
if grep -E '\(C75[0-9]+\)' "$build/build.log"; then
  echo "run.sh: ptxas runs wgmma products one after another, see above" >&2
  exit 1
fi

stage "registers, shared memory and occupancy of the kernels"
python3 "$root/benchmarks/kernels/resources.py" "$build/mmada/libmmada_cuda.so" \
  --beside "$(printf '%s\n' "$root"/benchmarks/results/*-resources.md | tail -1)"

stage "tests"
export MMADA_FULL=$full  # the emulator's longer matrices
(cd "$build" && ctest --output-on-failure -j "$(nproc)" --output-junit "$build/results.xml") | tee "$build/ctest.log" |
  { grep -vE '^ +Start ' || true; }
grep -q '100% tests passed' "$build/ctest.log"

stage "an outside project against the installed library"
rm -rf "$build/stage" "$build/consumer" "$build/link_library" "$build/reward_plugin"
cmake --install "$build" --prefix "$build/stage" >/dev/null
cmake -S "$root/tests/consumer" -B "$build/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$build/stage" >/dev/null
cmake --build "$build/consumer"
"$build/consumer/consumer"
cmake -S "$root/examples/link_library" -B "$build/link_library" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$build/stage" >/dev/null
cmake --build "$build/link_library"
pocket=$root/examples/pocket
(cd "$build/link_library" && ./link_library "$pocket/mmada" "$pocket/image_tokenizer" "$pocket/mask.png" && test -s mended.png)
cmake -S "$root/examples/reward_plugin" -B "$build/reward_plugin" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$build/stage" >/dev/null
cmake --build "$build/reward_plugin"
printf '[{"name": "colour", "reward": {"type": "plugin", "library": "%s"}}]\n' "$build/reward_plugin/colourfulness.so" >"$build/reward_plugin/rewards.json"
printf '{"task": "t2i", "image": "scene.png"}\n' >"$build/reward_plugin/samples.jsonl"
"$build/stage/bin/mmada" reward "$build/reward_plugin/rewards.json" "$build/reward_plugin/samples.jsonl" --images "$pocket" |
  tee >(cat >&2) | grep -q '"total":0[.]'
"$build/stage/bin/mmada" info

stage "sanitizers"
"$root/tests/sanitize.sh" $([ $full = 1 ] && echo --full)

stage "fuzzers"
"$root/tests/fuzz/run.sh" $([ $full = 1 ] && echo 1000000)

stage "fuzzers see a deleted check"
python3 "$root/tests/fuzz/mutation_gate.py" $([ $full = 1 ] || echo index)

stage "done"
run=$(grep -oE '[0-9]+ tests? failed out of [0-9]+|out of [0-9]+' "$build/ctest.log" | grep -oE '[0-9]+$' | tail -1)
skipped=$(grep -c '[*]Skipped' "$build/ctest.log" || true)  # what needs a GPU, where there is none
printf '%s passed, 0 failed, %s skipped\n' $((run - skipped)) "$skipped"
