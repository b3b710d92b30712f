// SPDX-License-Identifier: MIT
#include "mmada/ops/attention.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr std::string_view kModeNames[] = {"none", "additive_one", "hard"};

bool all_valid(const std::vector<Span>& valid, int64_t tokens) {
  for (const Span& span : valid)
    if (span != Span{0, tokens}) return false;
  return true;
}

void check_spans(const std::vector<Span>& valid, int64_t rows, int64_t keys) {
  MMADA_CHECK(valid.empty() || static_cast<int64_t>(valid.size()) == rows, "attention: found ", valid.size(),
              " valid spans, expected one for each of ", rows, " rows");
  for (const Span& span : valid)
    MMADA_CHECK(0 <= span.begin && span.begin < span.end && span.end <= keys, "attention: found valid span [",
                span.begin, ", ", span.end, "), expected a non-empty part of [0, ", keys, ")");
}

// int32 [B, 2], or with room for a second, empty span [B, 1, 2, 2].
at::Tensor span_tensor(const std::vector<Span>& valid, bool room, at::Device device) {
  std::vector<int32_t> ends;
  for (const Span& span : valid) {
    ends.insert(ends.end(), {static_cast<int32_t>(span.begin), static_cast<int32_t>(span.end)});
    if (room) ends.insert(ends.end(), {0, 0});
  }
  const at::Tensor flat = at::tensor(ends, at::kInt).to(device);
  return room ? flat.view({-1, 1, 2, 2}) : flat.view({-1, 2});
}

}  // namespace

AttentionMode attention_mode_from_name(std::string_view name) {
  for (int i = 0; i < 3; ++i)
    if (kModeNames[i] == name) return static_cast<AttentionMode>(i);
  throw Error(cat("attention mode: found \"", name, "\", expected none, additive_one or hard"));
}

std::string_view attention_mode_name(AttentionMode mode) { return kModeNames[static_cast<int>(mode)]; }

AttentionSpans attention_spans(const Visibility& visibility, int64_t rows, int64_t keys, at::Device device) {
  const auto& [mode, valid] = visibility;
  check_spans(valid, rows, keys);
  AttentionSpans spans;
  if (all_valid(valid, keys)) return spans;  // +1 everywhere is 0
  if (mode == AttentionMode::kHard) spans.keys = span_tensor(valid, true, device);
  if (mode == AttentionMode::kAdditiveOne) spans.bias = span_tensor(valid, false, device);
  return spans;
}

at::Tensor attention(const at::Tensor& q_BPHD, const at::Tensor& k_BTGD, const at::Tensor& v_BTGD,
                     const Visibility& visibility, const std::optional<at::Tensor>& query_positions_BP) {
  MMADA_CHECK(q_BPHD.dim() == 4 && k_BTGD.dim() == 4, "attention: found q ", q_BPHD.sizes(), " and k ",
              k_BTGD.sizes(), ", expected [B, P, H, D] and [B, T, G, D]");
  AttentionSpans spans = attention_spans(visibility, q_BPHD.size(0), k_BTGD.size(1), q_BPHD.device());
  if (spans.bias && query_positions_BP) spans.query_positions = query_positions_BP->to(at::kInt);
  return attention_op(q_BPHD, k_BTGD, v_BTGD, spans).out.flatten(2);
}

}  // namespace mmada
