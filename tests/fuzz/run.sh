#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the fuzz targets with clang (preset `fuzz`: AddressSanitizer, UndefinedBehaviorSanitizer) and runs each a fixed
# number of times from a fixed seed. Fails on any crash, broken promise, allocation above 64 MB or input that takes longer
# than a second; the input is kept in build/fuzz/findings/. A fixed bug's input moves to tests/fuzz/corpus/.
#
#   tests/fuzz/run.sh [RUNS [TARGET...]]    RUNS: executions of each target, 20000 by default
#
# MMADA_FUZZ_TIMEOUT: seconds for one input (1); a busy machine needs more.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-20000}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(tokenizer json safetensors index jpeg png webp tar)

command -v clang++ > /dev/null || { echo "tests/fuzz/run.sh: clang++ with its fuzzer runtime is missing (third_party/setup.sh)" >&2; exit 1; }
mkdir -p build/fuzz/findings
cmake --preset fuzz -DCMAKE_CXX_COMPILER_LAUNCHER=${MMADA_FUZZ_LAUNCHER:-} > build/fuzz/configure.log 2>&1 || { cat build/fuzz/configure.log >&2; exit 1; }
ninja -C build/fuzz --quiet

fuzz_one() {  # the corpus grows in a folder of its own: the committed one stays as it is
  local target=$1 runs=$2 program=$1 grown
  case $target in png | jpeg | webp) program=image ;; esac
  grown=$(mktemp -d)
  local log=build/fuzz/$target.log
  if build/fuzz/tests/fuzz/fuzz_$program -runs="$runs" -seed=1 -max_len=4096 -timeout="${MMADA_FUZZ_TIMEOUT:-1}" \
    -malloc_limit_mb=64 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=build/fuzz/findings/$target- \
    "$grown" tests/fuzz/corpus/$target > $log 2>&1; then
    echo "$target: $(grep -oP 'number_of_executed_units: \K\d+' $log) runs, $(grep -oP 'average_exec_per_sec: +\K\d+' $log)/s, no finding"
  else
    grep -v '^#\|NEW_FUNC' $log | tail -n 60 >&2
    echo "$target: FINDING, see build/fuzz/findings/ and $log" >&2
    rm -rf "$grown"
    return 1
  fi
  rm -rf "$grown"
}
export -f fuzz_one
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c "fuzz_one {} $runs"
