#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Brings everything the build needs onto this machine; run it as often as you like, it does only what is missing.
#
#   third_party/setup.sh build    to build and run: compiler, libraries, libtorch (CPU side only where there is no GPU)
#   third_party/setup.sh tests    also what the tests need: Python oracles, the CUDA compiler, fuzzers
#
# Everything that is not a system package goes to $MMADA_CACHE (default ~/.cache/mmada), outside the build tree.
# Ends by writing $MMADA_CACHE/<mode>.env, which the callers source: MMADA_PYTHON_ENV, MMADA_TORCH_DIR, PATH, CUDACXX.
set -euo pipefail
mode=${1:-build}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions
source "$here/versions"
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
case $mode in build | tests) ;; *) echo "setup: found mode '$mode', expected build or tests" >&2; exit 2 ;; esac
say() { printf 'setup: %s\n' "$*" >&2; }

has_gpu() { [ -e /dev/nvidiactl ] || { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }; }

install_system_packages() {
  local wanted="$APT_BUILD" missing=()
  [ "$mode" = tests ] && wanted="$wanted $APT_TESTS"
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian or Ubuntu system: taking libraries from CMAKE_PREFIX_PATH; needed are: $wanted"
    return
  fi
  for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if [ -n "${CMAKE_PREFIX_PATH:-}${CONDA_PREFIX:-}" ]; then
      say "not root, going on with CMAKE_PREFIX_PATH/conda; system packages not found: ${missing[*]}"
      return
    fi
    say "missing system packages and not root. Run: sudo apt-get install ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Installs Python packages into $1 unless exactly these were installed before.
python_packages() {
  local environment=$1 stamp
  shift
  stamp="$environment/.mmada-$(printf '%s\n' "$@" | sha256sum | cut -c1-16)"
  [ -e "$stamp" ] && return
  say "installing into ${environment##*/}: $*"
  "$environment/bin/python" -m pip install -q --disable-pip-version-check "$@"
  touch "$stamp"
}

make_environment() {
  local environment=$1
  if [ ! -e "$environment/.mmada-complete" ]; then
    rm -rf "$environment"
    say "making the Python environment ${environment##*/}"
    python3 -m venv "$environment"
  fi
  if [ "$mode" = build ] && ! has_gpu; then
    # The wheel's CPU side loads these two CUDA libraries and no other: 0.6 GB instead of 3.
    python_packages "$environment" "cuda-toolkit[cudart,cupti]==$CUDA_TOOLKIT" "cmake==$CMAKE"
    python_packages "$environment" --no-deps "torch==$TORCH"
  else
    python_packages "$environment" "torch==$TORCH" "cmake==$CMAKE"
  fi
  if [ "$mode" = tests ]; then
    python_packages "$environment" "numpy==$NUMPY" "tokenizers==$TOKENIZERS" "sentencepiece==$SENTENCEPIECE" \
      "safetensors==$SAFETENSORS" "pillow==$PILLOW" "pytest==$PYTEST" "pyarrow==$PYARROW"
    python_packages "$environment" --no-deps "lpips==$LPIPS" "torchvision==$TORCHVISION" "scipy==$SCIPY" "tqdm==$TQDM"
    python_packages "$environment" --no-deps "transformers==$TRANSFORMERS" "regex==$REGEX"
    python_packages "$environment" "math-verify==$MATH_VERIFY" "latex2sympy2_extended==$LATEX2SYMPY2_EXTENDED" \
      "antlr4-python3-runtime==$ANTLR4"
    python_packages "$environment" "nvidia-cuda-cuobjdump==$CUOBJDUMP" "nvidia-cuda-nvdisasm==$NVDISASM"
  fi
  touch "$environment/.mmada-complete"
}

# nvcc: the machine's CUDA 13, else the one from PyPI. Prints its path, or nothing.
cuda_compiler() {
  local environment=$1 nvcc
  for nvcc in "${CUDACXX:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -n "$nvcc" ] && [ -z "${MMADA_PYPI_CUDA:-}" ] && "$nvcc" --version 2>/dev/null | grep -q 'release 13'; then
      echo "$nvcc"
      return
    fi
  done
  if [ "$mode" = tests ] || has_gpu; then
    python_packages "$environment" "cuda-toolkit[nvcc,crt,nvvm,cccl,cudart]==$CUDA_TOOLKIT"
    find "$environment" -path '*/cu13/bin/nvcc' | head -1
  fi
}

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
install_system_packages
environment="$cache/python-$mode"
[ "$mode" = build ] && has_gpu && environment="$cache/python-tests"
make_environment "$environment"
nvcc=$(cuda_compiler "$environment")
torch_dir=$("$environment/bin/python" -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])")
cat >"$cache/$mode.env.tmp" <<ENV
export MMADA_PYTHON_ENV="$environment"
export MMADA_TORCH_DIR="$torch_dir"
export PATH="$environment/bin:\$PATH"
export CUDACXX="$nvcc"
ENV
mv "$cache/$mode.env.tmp" "$cache/$mode.env"
say "ready ($cache/$mode.env)"
