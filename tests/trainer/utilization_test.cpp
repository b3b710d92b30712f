// SPDX-License-Identifier: MIT
#include "mmada/trainer/utilization.h"

#include <ATen/ATen.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

namespace mmada {
namespace {

WeightedTargets targets_at(const std::vector<int64_t>& positions, Window window) {
  return {.positions_N = at::tensor(positions, at::kLong),
          .targets_N = {},
          .weights_N = {},
          .window = window,
          .flow = ""};
}

/// Multiplications and additions of y = x W for one x, counted one by one.
int64_t product(int64_t in, int64_t out) {
  int64_t flops = 0;
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) flops += 2;
  return flops;
}

}  // namespace

TEST_CASE("a step's FLOPs are three times those of a forward pass counted token by token") {
  const TransformerConfig config{
      .d_model = 12, .n_layers = 3, .n_heads = 3, .n_kv_heads = 1, .mlp_hidden_size = 20, .vocab_size = 50};
  const int64_t batch = 2, length = 7, d = 12, kv = 4;
  const std::vector<int64_t> code_positions = {1, 4}, text_positions = {8, 9, 13};
  const std::vector<Span> valid = {{2, 7}, {0, 7}};
  RowGroup group{
      .rows = {.ids_BT = at::zeros({batch, length}, at::kLong), .valid = valid, .mode = AttentionMode::kHard},
      .targets = {targets_at(code_positions, {40, 50}), targets_at(text_positions, {0, 40})}};
  int64_t forward = 0;
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t t = 0; t < length; ++t) {
        const auto among = [&](const std::vector<int64_t>& all) {
          return std::count(all.begin(), all.end(), b * length + t) > 0;
        };
        const bool read = layer + 1 < config.n_layers || among(code_positions) || among(text_positions);
        forward += 2 * product(d, kv);  // k and v of every token
        if (read) forward += 2 * product(d, d) + 2 * product(d, 20) + product(20, d);
      }
  // Scores and their weighted sums: 4 d per query and visible key. In the last layer every row is as long as
  // the one that reads most
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t queries = layer + 1 < config.n_layers ? length : 3;
      for (int64_t q = 0; q < queries; ++q) forward += (valid[b].end - valid[b].begin) * 2 * product(d, 1);
    }
  for (size_t i = 0; i < code_positions.size(); ++i) forward += product(d, 10);
  for (size_t i = 0; i < text_positions.size(); ++i) forward += product(d, 40);
  CHECK(training_flops(config, group) == 3.0 * static_cast<double>(forward));
}

TEST_CASE(
    "peak memory grows with what was in use, stays when it is given back, and is what the kernel says") {
  constexpr size_t kBytes = size_t{192} << 20;
  const int64_t before = peak_memory_bytes(c10::kCPU);
  CHECK(before > 0);
  {
    std::vector<char> used(kBytes);
    std::memset(used.data(), 1, kBytes);  // pages count once they are written
    CHECK(peak_memory_bytes(c10::kCPU) >= static_cast<int64_t>(kBytes));
  }
  const int64_t after = peak_memory_bytes(c10::kCPU);
  CHECK(after >= before);
  CHECK(after >= static_cast<int64_t>(kBytes));
  rusage usage{};
  REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
  CHECK(after <= usage.ru_maxrss * 1024 + (int64_t{1} << 20));  // counted per thread in steps of 64 pages
}

}  // namespace mmada
