// SPDX-License-Identifier: MIT
// The C++ half of train_step.py: bench_train_step FOLDER THREADS RECOMPUTE
//
// Trains the checkpoint in FOLDER on FOLDER/in.safetensors and answers every line on standard input with the
// seconds and the loss of one whole optimizer step. At the end of the input it prints by how many bytes its
// memory ever exceeded what it held before there was a model.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "benchmarks/end_to_end/memory.h"
#include "mmada/diffusion/losses.h"
#include "mmada/model/open_checkpoint.h"
#include "mmada/model/sharded_transformer.h"
#include "mmada/model/tensor_file.h"
#include "mmada/trainer/optimizer.h"

namespace {

using namespace mmada;

ShardedTransformer make_model(const std::string& folder, Recompute recompute) {
  const OpenCheckpoint open = open_checkpoint(folder);
  return {open.config, Group(), {}, recompute, [&](const std::string& name, const at::Tensor& tensor) {
            open.reader.read({{name, tensor}});
          }};
}

RowGroup read_rows(const std::string& folder, int64_t vocabulary) {
  const auto in = read_tensor_file(folder + "/in.safetensors");
  const at::Tensor positions = in.at("positions");
  const double weight = 1.0 / static_cast<double>(positions.numel());
  return {.rows = {.ids_BT = in.at("ids")},
          .targets = {{.positions_N = positions,
                       .targets_N = in.at("targets"),
                       .weights_N = at::full({positions.numel()}, weight, at::kFloat),
                       .window = {0, vocabulary},
                       .flow = "lm"}}};
}

double train_step(ShardedTransformer& model, AdamW& optimizer, const RowGroup& rows) {
  optimizer.zero_grad();
  model.shards().release_all();
  const Losses losses = weighted_losses(token_logprobs(model), {rows});
  losses.total.backward();
  const double norm = optimizer.grad_norm();
  if (norm > 1.0) optimizer.scale_gradients(1.0 / (norm + 1e-6));
  optimizer.step(1.0);
  return losses.total.item<double>();
}

int run(const std::string& folder, int threads, const std::string& recompute) {
  at::set_num_threads(threads);
  const int64_t before = memory_bytes("VmRSS");
  ShardedTransformer model = make_model(folder, recompute == "blocks"             ? Recompute::kBlocks
                                                : recompute == "norms_and_swiglu" ? Recompute::kNormsAndSwiglu
                                                                                  : Recompute::kNothing);
  const RowGroup rows = read_rows(folder, model.config().vocab_size);
  AdamW optimizer(trained_pieces(model), {.learning_rate = 1e-3, .decay_norms = true});
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    const double loss = train_step(model, optimizer, rows);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%.6f %.6f\n", seconds.count(), loss);
    std::fflush(stdout);
  }
  std::printf("%lld\n", static_cast<long long>(memory_bytes("VmHWM") - before));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4) return run(argv[1], std::atoi(argv[2]), argv[3]);
    std::fprintf(stderr, "usage: bench_train_step FOLDER THREADS none|norms_and_swiglu|blocks\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_train_step: %s\n", error.what());
    return 1;
  }
}
