// SPDX-License-Identifier: MIT
#include "mmada/ops/attention.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr std::string_view kModeNames[] = {"none", "additive_one", "hard"};

at::Tensor repeat_heads(const at::Tensor& x_BTGD, int64_t heads) {
  return x_BTGD.size(2) == heads ? x_BTGD : x_BTGD.repeat_interleave(heads / x_BTGD.size(2), 2);
}

// Rows of equal visibility in one call; heads move in front of tokens as views.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const std::optional<at::Tensor>& bias = {}) {
  return at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias)
      .transpose(1, 2)
      .flatten(2);
}

// One call per run of neighbouring rows with the same span, keys cut to it.
at::Tensor attend_spans(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const std::vector<Span>& valid) {
  const auto rows = static_cast<int64_t>(valid.size());
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0, end = 0; begin < rows; begin = end) {
    while (end < rows && valid[end] == valid[begin]) ++end;
    const auto cut = [&](const at::Tensor& x) {
      return x.narrow(0, begin, end - begin).narrow(1, valid[begin].begin, valid[begin].size());
    };
    parts.push_back(attend(q.narrow(0, begin, end - begin), cut(k), cut(v)));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

// [B, 1, P, T]: the outer product of "query valid" and "key valid".
at::Tensor additive_one_bias(const std::vector<Span>& valid,
                             const std::optional<at::Tensor>& query_positions_BP, int64_t tokens,
                             at::TensorOptions options) {
  const auto rows = static_cast<int64_t>(valid.size());
  at::Tensor keys_BT = at::zeros({rows, tokens}, options);
  for (int64_t b = 0; b < rows; ++b) keys_BT[b].narrow(0, valid[b].begin, valid[b].size()).fill_(1);
  const at::Tensor queries_BP = query_positions_BP ? keys_BT.gather(1, *query_positions_BP) : keys_BT;
  return (queries_BP.unsqueeze(2) * keys_BT.unsqueeze(1)).unsqueeze(1);
}

bool all_valid(const std::vector<Span>& valid, int64_t tokens) {
  for (const Span& span : valid)
    if (span != Span{0, tokens}) return false;
  return true;
}

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const std::vector<Span>& valid) {
  MMADA_CHECK(q.dim() == 4 && k.dim() == 4 && v.sizes() == k.sizes() && q.size(0) == k.size(0) &&
                  q.size(3) == k.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0,
              "attention: found q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(),
              ", expected [B, P, H, D] and twice [B, T, G, D] with G dividing H");
  MMADA_CHECK(valid.empty() || static_cast<int64_t>(valid.size()) == q.size(0), "attention: found ",
              valid.size(), " valid spans, expected one for each of ", q.size(0), " rows");
  for (const Span& span : valid)
    MMADA_CHECK(0 <= span.begin && span.begin < span.end && span.end <= k.size(1),
                "attention: found valid span [", span.begin, ", ", span.end,
                "), expected a non-empty part of [0, ", k.size(1), ")");
}

}  // namespace

AttentionMode attention_mode_from_name(std::string_view name) {
  for (int i = 0; i < 3; ++i)
    if (kModeNames[i] == name) return static_cast<AttentionMode>(i);
  throw Error(cat("attention mode: found \"", name, "\", expected none, additive_one or hard"));
}

std::string_view attention_mode_name(AttentionMode mode) { return kModeNames[static_cast<int>(mode)]; }

at::Tensor attention(const at::Tensor& q_BPHD, const at::Tensor& k_BTGD, const at::Tensor& v_BTGD,
                     const Visibility& visibility, const std::optional<at::Tensor>& query_positions_BP) {
  const auto& [mode, valid] = visibility;
  check_shapes(q_BPHD, k_BTGD, v_BTGD, valid);
  const at::Tensor k = repeat_heads(k_BTGD, q_BPHD.size(2)), v = repeat_heads(v_BTGD, q_BPHD.size(2));
  if (mode == AttentionMode::kNone || all_valid(valid, k.size(1)))
    return attend(q_BPHD, k, v);  // +1 everywhere is 0
  if (mode == AttentionMode::kHard) return attend_spans(q_BPHD, k, v, valid);
  return attend(q_BPHD, k, v, additive_one_bias(valid, query_positions_BP, k.size(1), q_BPHD.options()));
}

}  // namespace mmada
