// SPDX-License-Identifier: MIT
// Forward and backward of a pocket-sized transformer (SPEC 1.2) over masked targets; transformer_step.py
// beside this file is the same step in plain PyTorch. CPU time per step is the better figure on a shared
// machine, with one thread.
//
//     bench_transformer_step [threads] [d_model] [layers] [mode: none | hard]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "mmada/model/transformer.h"
#include "mmada/ops/logprobs.h"

namespace {

constexpr int64_t kRows = 28, kTokens = 107, kVocabulary = 1536, kStepCount = 12;

mmada::Transformer make_model(int64_t d_model, int64_t layers) {
  mmada::TransformerConfig config;
  config.d_model = d_model;
  config.n_layers = layers;
  config.n_heads = config.n_kv_heads = d_model / 64;
  config.mlp_hidden_size = d_model * 8 / 3 / 64 * 64;
  config.vocab_size = kVocabulary;
  mmada::Transformer model(config, at::kFloat);
  mmada::initialize(model, {});
  for (const auto& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
  return model;
}

double step(const mmada::Transformer& model, const mmada::RowBatch& rows, const at::Tensor& positions,
            const at::Tensor& targets) {
  for (const auto& parameter : model.parameters()) parameter.tensor.mutable_grad().reset();
  const at::Tensor hidden = model.hidden(rows, positions);
  const auto result = mmada::masked_token_logprobs(hidden, model.head({0, kVocabulary}), targets);
  const at::Tensor loss = result.logprobs_N.mean().neg();
  loss.backward();
  return loss.item<double>();
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int fallback) { return argc > i ? std::atoi(argv[i]) : fallback; };
  at::set_num_threads(argument(1, 2));
  const mmada::Transformer model = make_model(argument(2, 192), argument(3, 6));
  mmada::RowBatch rows{at::randint(kVocabulary, {kRows, kTokens}, at::kLong)};
  rows.mode = argc > 4 ? mmada::attention_mode_from_name(argv[4]) : mmada::AttentionMode::kNone;
  if (rows.mode != mmada::AttentionMode::kNone)
    for (int64_t b = 0; b < kRows; ++b) rows.valid.push_back({b % 20, kTokens});
  const at::Tensor positions = at::arange(0, kRows * kTokens, 2, at::kLong);
  const at::Tensor targets = at::randint(kVocabulary, {positions.size(0)}, at::kLong);

  std::vector<double> wall, cpu;
  for (int64_t i = 0; i <= kStepCount; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const double cpu_start = cpu_seconds();
    step(model, rows, positions, targets);
    if (i == 0) continue;  // warm-up
    wall.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    cpu.push_back(cpu_seconds() - cpu_start);
  }
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  std::printf("mmada: %.1f rows/s (median), %.1f rows per CPU second (best)\n", kRows / wall[kStepCount / 2],
              kRows / cpu[0]);
  return 0;
}
