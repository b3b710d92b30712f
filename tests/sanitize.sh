#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The library and its C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer (g++).
#   tests/sanitize.sh          what reads foreign files: core and formats
#   tests/sanitize.sh --full   every C++ test
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
# shellcheck source=/dev/null
source "$cache/tests.env"
build=$root/build/asan
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" \
  -DMMADA_SANITIZE=address,undefined -DMMADA_PRECOMPILE=ON -DMMADA_CUDA=OFF -DMMADA_BENCHMARKS=OFF \
  -DMMADA_TORCH_DIR="$MMADA_TORCH_DIR" >/dev/null
chosen='^(core|formats|fuzz)_'
[ "${1:-}" = --full ] && chosen='.'
targets=$(ninja -C "$build" -t targets all | sed -nE 's/^([a-z][a-z0-9_]*_test|replay_[a-z]+): phony$/\1/p' | grep -v '^cmake_' |
  grep -E "$chosen|^replay_")
# shellcheck disable=SC2086
cmake --build "$build" --target $targets
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
# Only what was built: a test executable left out has a placeholder case of the name *_NOT_BUILT.
(cd "$build" && ctest --output-on-failure -j "$(nproc)" -R "$chosen" -E NOT_BUILT -LE python) | { grep -vE '^ +Start |Passed' || true; }
