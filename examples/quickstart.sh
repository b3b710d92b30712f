#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a bare machine to generated text and pictures: sets up, builds, and lets the small model in examples/pocket write,
# see, draw and repair. Where there is no GPU only the CPU side is downloaded and built. Run it again to reuse everything.
set -euo pipefail
[ $# -eq 0 ] || { echo "quickstart.sh: unknown argument '$1', expected none" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${MMADA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmada}
build=$root/build/quickstart
out=$build/output

"$root/third_party/setup.sh" build
# shellcheck source=/dev/null
source "$cache/build.env"
cuda=OFF
[ -e /dev/nvidiactl ] && [ -n "$CUDACXX" ] && cuda=ON
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMMADA_PRECOMPILE=ON -DMMADA_TESTS=OFF -DMMADA_BENCHMARKS=OFF \
  -DMMADA_CUDA=$cuda ${CUDACXX:+-DCMAKE_CUDA_COMPILER="$CUDACXX"} -DMMADA_TORCH_DIR="$MMADA_TORCH_DIR" >/dev/null
cmake --build "$build"

mmada=$build/bin/mmada
model=(--model "$root/examples/pocket/mmada")
vision=(--image-tokenizer "$root/examples/pocket/image_tokenizer")
mkdir -p "$out"
started=$SECONDS
show() {
  printf '\n$ mmada'
  printf ' %q' "${@/#$root\//}"
  printf '\n'
  "$mmada" "$@"
}

show text "${model[@]}" --sampler pocket_text --prompt "what is 47+38?"
show mmu "${model[@]}" "${vision[@]}" --sampler pocket_text --image "$root/examples/pocket/scene.png" \
  --prompt "how many shapes?"
show t2i "${model[@]}" "${vision[@]}" --sampler pocket_image --seed 7 \
  --prompt "a large red square at top left and a small blue circle at bottom right" \
  --output "$out/drawn.png" --contact-sheet "$out/denoising_steps.png"
show inpaint "${model[@]}" "${vision[@]}" --sampler pocket_image --seed 7 \
  --image "$root/examples/pocket/scene.png" --mask "$root/examples/pocket/mask.png" --output "$out/inpainted.png" \
  --prompt "a large purple circle at top left and a small green triangle at top right and a large blue square at bottom right"

printf '\nGenerated in %d s; pictures are in %s\n' $((SECONDS - started)) "${out/#$root\//}"
