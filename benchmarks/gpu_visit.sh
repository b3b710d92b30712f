#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One short visit to a machine with a GPU: every test that needs one, then the benchmarks of the kernels and of training, with their
# tables. Fifteen minutes are enough where the build is there already.
#
#   benchmarks/gpu_visit.sh                 sets up, builds and runs on this machine
#   benchmarks/gpu_visit.sh --pack DIR      builds here, without a GPU, and gathers in DIR (about 30 MB) what a machine needs that
#                                           has Python with this project's torch and nothing else of ours
#   benchmarks/gpu_visit.sh --packed DIR    runs there, in a checkout of the same commit
#   ... --dry-run                           prints the commands instead
#
# A failed step does not stop the later ones; the exit status tells. The tables go to $RESULTS, benchmarks/results by default.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
build=${MMADA_GPU_BUILD:-$root/build/gpu}
results=${RESULTS:-$root/benchmarks/results}
mode=run folder='' dry=0 failed=0
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=1 ;;
    --pack | --packed) mode=${1#--} folder=${2:?"gpu_visit.sh: $1 needs a folder"} && shift ;;
    *) echo "gpu_visit.sh: unknown argument '$1', expected --pack DIR, --packed DIR or --dry-run" >&2 && exit 2 ;;
  esac
  shift
done

# step NAME SECONDS COMMAND...: runs it for so long at most
step() {
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  printf '\n== %s\n+ %s\n' "$name" "${*//$root\//}"
  [ $dry = 1 ] && return
  timeout "$limit" "$@" || { failed=1 && printf 'gpu_visit.sh: %s: failed\n' "$name" >&2; }
  printf '(%d s)\n' $((SECONDS - started))
}

# train_1b PYTHON PROGRAM: it ends by itself before its time is over, for whoever is ended from outside leaves a training behind
train_1b() { step "training" 180 "$1" "$root/benchmarks/end_to_end/train_1b.py" "$2" --seconds 160 --output "$results"; }

build_all() {
  step "set up" 3600 "$root/third_party/setup.sh" tests
  # shellcheck source=/dev/null
  [ $dry = 1 ] || source "$cache/tests.env"
  step "configure" 300 cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMMADA_CUDA=ON -DMMADA_PRECOMPILE=ON \
    -DMMADA_TORCH_DIR="${MMADA_TORCH_DIR:-}" -DCMAKE_CUDA_COMPILER="${CUDACXX:-}"
  step "build" 3600 cmake --build "$build" --target mmada_cuda mmada_program kernels_device_test \
    generation_device_test
  [ $failed = 0 ] || exit 1  # nothing to run
}

# The libraries and programs, and the shared libraries they need that neither torch nor every Linux brings.
pack() {
  local lib
  mkdir -p "$folder/lib" "$folder/bin"
  cp "$build/bin/mmada" "$build/tests/kernels/device/kernels_device_test" "$build/tests/generation/device/generation_device_test" \
    "$folder/bin/"
  cp -a "$build"/mmada/lib*.so* "$build"/kernels/lib*.so* "$folder/lib/"
  ldd "$folder"/bin/* "$folder"/lib/*.so | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(torch|nvidia|build)/|lib(c|m|dl|rt|util|pthread|stdc\+\+|gcc_s|cuda)\.so' | while read -r lib; do cp -L "$lib" "$folder/lib/"; done
  printf 'packed %s into %s\n' "$(du -sh "$folder" | cut -f1)" "$folder"
}

# Everything by hand: a packed build has no CTest files that fit another machine.
run_packed() {
  local torch python
  python=$(command -v python3)
  torch=$("$python" -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])') || [ $dry = 1 ]
  export LD_LIBRARY_PATH="$folder/lib:$torch/lib:$(printf '%s:' "$torch"/../nvidia/*/lib)${LD_LIBRARY_PATH:-}"
  export MMADA_LIBRARY=$folder/lib/libmmada.so MMADA_PROGRAM=$folder/bin/mmada MMADA_TEST_DATA=$root/tests/data
  step "claims of the kernels" 240 "$folder/bin/kernels_device_test"
  step "the denoising step" 120 "$folder/bin/generation_device_test"
  step "every op from Python" 120 "$python" -m pytest -q -p no:cacheprovider "$root/tests/examples/python_package_test.py" -k cuda
  step "the program" 120 "$python" -m pytest -q -p no:cacheprovider "$root/tests/cli/device_test.py" -k gpu
  step "benchmark" 300 "$python" "$root/benchmarks/kernels/kernels.py" --output "$results"
  train_1b "$python" "$MMADA_PROGRAM"
}

export PYTHONPATH=$root/examples/python PYTHONDONTWRITEBYTECODE=1
case $mode in
  pack) build_all && { [ $dry = 1 ] || pack; } ;;
  packed)
    folder=$(cd "$folder" && pwd)
    export MMADA_REQUIRE_GPU=1
    run_packed
    ;;
  run)
    build_all
    export MMADA_REQUIRE_GPU=1 MMADA_LIBRARY=$build/mmada/libmmada.so
    step "every test that needs a GPU" 480 ctest --test-dir "$build" -L gpu --output-on-failure
    step "benchmark" 300 python3 "$root/benchmarks/kernels/kernels.py" --output "$results"
    train_1b python3 "$build/bin/mmada"
    ;;
esac
exit $failed
