// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <catch2/catch.hpp>

#include "mmada/generation/denoise.h"
#include "mmada/generation/resident_region.h"
#include "tests/generation/canvases.h"

namespace mmada {
namespace {

Transformer on_gpu(uint64_t seed) {
  const Model model = tiny::random_model(seed);
  Transformer copy(tiny::config(), at::TensorOptions().dtype(at::kFloat).device(at::kCUDA));
  const auto from = model.transformer.parameters(), to = copy.parameters();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  return copy;
}

ResidentRegion region_of(const Transformer& model, const Canvas& canvas) {
  return ResidentRegion(model, tiny::layout().mask, tiny::layout().eos, {canvases::resident(canvas)});
}

TEST_CASE(
    "a step waits for nothing, and a CUDA graph of it replays to the same tokens, and under another seed to "
    "the host's") {
  const c10::NoGradGuard no_grad;
  const Transformer model = on_gpu(3);
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
  int64_t changed = 0;
  for (Canvas canvas : canvases::all()) {
    canvas.stop = {},
    canvas.regions.resize(1);  // the loop on the host would end what is left of the row, too
    ResidentRegion eager = region_of(model, canvas), captured = region_of(model, canvas);
    const int64_t steps = canvas.regions.front().steps;
    eager.enqueue();  // libraries make their handles and workspaces now
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
    for (int64_t step = 1; step < steps; ++step) CHECK_NOTHROW(eager.enqueue());
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
    at::cuda::CUDAGraph graph;
    graph.capture_begin();
    captured.enqueue();
    graph.capture_end();
    for (int64_t step = 0; step < steps; ++step) graph.replay();
    const auto expected = eager.collect(), found = captured.collect();
    CHECK(found.front().ids == expected.front().ids);
    CHECK(found.front().steps == expected.front().steps);
    Canvas other = canvas;
    other.seed = 77;
    captured.restart(other.seed);
    for (int64_t step = 0; step < steps; ++step) graph.replay();
    Denoiser host(model, tiny::layout(), {}, Residency::kHost);
    host.add(other);
    while (host.step()) {
    }
    const auto reseeded = captured.collect();
    CHECK(reseeded.front().ids == host.take_finished().front().ids);
    changed += reseeded.front().ids != found.front().ids ? 1 : 0;
  }
  CHECK(changed > 3);  // of 12, some of which draw nothing
}

}  // namespace
}  // namespace mmada
