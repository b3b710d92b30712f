// SPDX-License-Identifier: MIT
// Losses and gradients of the published training step, computed by an independent implementation.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "mmada/diffusion/losses.h"
#include "tests/support/tiny_model.h"

namespace {

using namespace mmada;

constexpr int64_t kMask = 380, kIgnored = -100, kLength = 35, kFirstImageSlot = 18, kImageTokens = 16;
// These rows label neither soi nor eoi; apart from that they follow the reference: softmax over the
// vocabulary.
constexpr LossCompat kCompat{.t2i_boundary_targets = false, .t2i_code_window = false};
constexpr double kT2i = 0.05, kLm = 0.6, kMmu = 0.4;
using Tensors = std::map<std::string, at::Tensor>;

std::vector<int64_t> row_of(const at::Tensor& values_BT, int64_t row) {
  const at::Tensor one = values_BT[row].contiguous();
  return {one.data_ptr<int64_t>(), one.data_ptr<int64_t>() + one.numel()};
}

/// The golden rows as the noising functions would have left them.
NoisedRow golden_row(const Tensors& golden, int64_t row) {
  NoisedRow noised{.ids = row_of(golden.at("input_ids"), row), .clean = row_of(golden.at("labels"), row)};
  noised.valid = {0, kLength};
  for (int64_t i = 0; i < kLength; ++i)
    if (noised.ids[i] == kMask && noised.clean[i] != kIgnored) noised.predicted.push_back(i);
  if (row < 2) {
    noised.image = {kFirstImageSlot, kFirstImageSlot + kImageTokens};
    noised.valid.begin = kLength - golden.at("t2i_masks")[row].sum().item<int64_t>();
    return noised;
  }
  const bool lm = row < 4;
  const int64_t own = lm ? row - 2 : row - 4;
  noised.mask_probability = golden.at(lm ? "p_mask_lm" : "p_mask_mmu")[own][0].item<float>();
  const char* lengths = lm ? "answer_lengths_lm" : "answer_lengths";
  noised.answer_length = golden.contains(lengths) ? golden.at(lengths)[own][0].item<int64_t>() : kLength;
  return noised;
}

RowGroup golden_group(const Tensors& golden, AttentionMode mode) {
  std::vector<NoisedRow> rows;
  RowGroup group{.rows = {.ids_BT = golden.at("input_ids"), .valid = {}, .mode = mode}, .targets = {}};
  for (int64_t row = 0; row < 5; ++row) {
    rows.push_back(golden_row(golden, row));
    group.rows.valid.push_back(rows.back().valid);
  }
  const auto add = [&](FlowKind kind, int64_t begin, int64_t count, double coefficient) {
    const std::span<const NoisedRow> of(rows.data() + begin, static_cast<size_t>(count));
    const auto targets = flow_targets(kind, of, flow_totals(kind, of, kCompat), kCompat);
    group.targets.push_back(
        join_targets(targets, begin, kLength, {0, 512}, std::string(flow_kind_name(kind)), coefficient));
  };
  add(FlowKind::kT2i, 0, 2, kT2i);
  add(FlowKind::kLm, 2, 2, kLm);
  add(FlowKind::kMmu, 4, 1, kMmu);
  return group;
}

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor e = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - e).norm() / e.norm()).item<double>();
}

void compare(const std::string& file, const std::string& prefix, AttentionMode mode) {
  const Tensors golden = test::read_tensors(MMADA_TEST_DATA "/golden/" + file);
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  for (const NamedParameter& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
  const Losses losses = weighted_losses(model, {golden_group(golden, mode)});
  REQUIRE(losses.parts.size() == 3);
  for (const LossPart& part : losses.parts) {
    INFO(file << " " << prefix << " " << part.flow);
    CHECK(relative_error(part.loss, golden.at(prefix + ".loss_" + part.flow)) < 1e-6);
  }
  losses.total.backward();
  int compared = 0;
  for (const NamedParameter& parameter : model.parameters()) {
    const auto expected = golden.find(prefix + ".grad." + parameter.name);
    if (expected == golden.end()) continue;
    INFO(file << " " << expected->first);
    CHECK(relative_error(parameter.tensor.grad(), expected->second) < 5e-6);
    ++compared;
  }
  CHECK(compared == 3);
}

}  // namespace

TEST_CASE("losses and gradients equal the published training step's, padding weighed by additive_one") {
  compare("loss_lm_base.safetensors", "soft", AttentionMode::kAdditiveOne);
  compare("loss_lm_chat.safetensors", "soft", AttentionMode::kAdditiveOne);
}

TEST_CASE("losses and gradients equal the published training step's, padding hidden") {
  compare("loss_lm_base.safetensors", "hard", AttentionMode::kHard);
  compare("loss_lm_chat.safetensors", "hard", AttentionMode::kHard);
}
