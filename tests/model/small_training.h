// SPDX-License-Identifier: MIT
// Ten steps of a small transformer, whole or in shards, and what tests of them compare.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "mmada/diffusion/losses.h"
#include "mmada/model/sharded_transformer.h"
#include "mmada/trainer/optimizer.h"

namespace mmada::test {

constexpr int64_t kRows = 5, kTokens = 12, kVocabulary = 60, kSteps = 10;
constexpr Window kText{0, 60}, kCodes{40, 60};

inline TransformerConfig small_config(bool tied) {
  TransformerConfig config;
  config.d_model = 24, config.n_layers = 2, config.n_heads = 3, config.n_kv_heads = 3;
  config.mlp_hidden_size = 40, config.vocab_size = kVocabulary, config.tie_word_embeddings = tied;
  return config;
}

inline Transformer plain_transformer(bool tied, at::ScalarType type = at::kFloat) {
  Transformer drawn(small_config(tied), at::kFloat), model(small_config(tied), type);
  initialize(drawn, {.embedding_std = 1.0, .seed = 5});
  const auto from = drawn.parameters(), to = model.parameters();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  for (const NamedParameter& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
  return model;
}

/// Rows [begin, end) of a step, each with targets of the vocabulary and of the codes; the weights are those
/// of the whole step.
inline RowGroup rows_of(int64_t step, int64_t begin, int64_t end) {
  const at::Tensor ids = (at::arange(kRows * kTokens, at::kLong) * 7919 + step * 31)
                             .remainder(kVocabulary)
                             .view({kRows, kTokens});
  RowGroup group{.rows = {.ids_BT = ids.slice(0, begin, end).contiguous()}, .targets = {}};
  for (int64_t row = begin; row < end; ++row) group.rows.valid.push_back({row % 3, kTokens});
  for (const Window window : {kText, kCodes}) {
    std::vector<int64_t> positions, targets;
    for (int64_t row = begin; row < end; ++row)
      for (const int64_t token : {4 + row % 3, int64_t{9}}) {
        positions.push_back((row - begin) * kTokens + token + (window == kCodes ? 1 : 0));
        targets.push_back(window.begin + (row * 17 + token + step) % window.size());
      }
    group.targets.push_back({.positions_N = at::tensor(positions, at::kLong),
                             .targets_N = at::tensor(targets, at::kLong),
                             .weights_N = at::full({std::ssize(positions)}, 0.125, at::kFloat),
                             .window = window,
                             .flow = window == kText ? "text" : "codes"});
  }
  return group;
}

inline double backward(const TokenLogprobs& logprobs, const RowGroup& rows) {
  const Losses losses = weighted_losses(logprobs, {rows});
  losses.total.backward();
  return losses.total.item<double>();
}

/// This rank's rows of a step; a rank without any keeps the others company.
inline double backward_share(ShardedTransformer& model, int64_t step) {
  const Group& group = model.shards().group();
  const int64_t begin = kRows * group.rank() / group.size(), end = kRows * (group.rank() + 1) / group.size();
  double loss = 0;
  if (begin == end)
    model.idle_pass().backward();
  else
    loss = backward(token_logprobs(model), rows_of(step, begin, end));
  return group.sum({loss}).front();
}

struct Trace {
  std::vector<double> loss, norm;
  Transformer weights;
};

inline AdamWOptions adam() { return {.learning_rate = 1e-2, .weight_decay = 0.1}; }

inline void update(AdamW& optimizer, Trace* trace) {
  trace->norm.push_back(optimizer.grad_norm());
  optimizer.scale_gradients(std::min(1.0, 0.5 / trace->norm.back()));
  optimizer.step(1.0);
  optimizer.zero_grad();
}

/// How far apart two trainings may be: relative for losses and norms, absolute for weights.
struct Apart {
  double loss = 1e-6, norm = 1e-5, weights = 1e-6;
};

inline void compare(const Trace& found, const Trace& expected, const Apart& allowed = {}) {
  for (size_t i = 0; i < expected.loss.size(); ++i) {
    CHECK(found.loss[i] == Approx(expected.loss[i]).epsilon(allowed.loss));
    CHECK(found.norm[i] == Approx(expected.norm[i]).epsilon(allowed.norm));
  }
  const auto ours = found.weights.parameters(), theirs = expected.weights.parameters();
  for (size_t i = 0; i < theirs.size(); ++i) {
    INFO(theirs[i].name);
    CHECK((ours[i].tensor - theirs[i].tensor).abs().max().item<double>() < allowed.weights);
  }
}

}  // namespace mmada::test
