// SPDX-License-Identifier: MIT
#include "mmada/ops/attention_op.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <limits>

#include "mmada/ops/attention_params.h"
#include "mmada/ops/dispatch.h"

namespace mmada {
namespace {

using at::Tensor;
using ops::OptionalTensor;
using Pair = std::tuple<Tensor, Tensor>;
using Signature = Pair(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                       const OptionalTensor&, const OptionalTensor&);

// On CPUs ATen's fused kernel is what there is: benchmarks/results/2026-11-28-cpu-ops.md.
// [B, P, H, D] and [B, H, P] of queries that all see all of these keys; heads move in front of tokens as
// views.
Pair attend(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& bias = {}) {
  if (k.size(1) == 0)
    return {at::zeros_like(q),
            at::full({q.size(0), q.size(2), q.size(1)}, -std::numeric_limits<double>::infinity(),
                     q.options().dtype(at::kFloat))};
  const auto [out, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
      q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), 0.0, false, bias);
  return {out.transpose(1, 2), logsumexp.to(at::kFloat).view({q.size(0), q.size(2), q.size(1)})};
}

// [B, 1, P, T]: the outer product of "query valid" and "key valid".
Tensor additive_one(const Tensor& bias_spans, const OptionalTensor& query_positions, int64_t queries,
                    int64_t keys, at::TensorOptions options) {
  const auto inside = [&](const Tensor& positions) {  // [B or 1, n] -> [B, n]
    return positions.ge(bias_spans.narrow(1, 0, 1)).logical_and(positions.lt(bias_spans.narrow(1, 1, 1)));
  };
  const auto count = [&](int64_t n) { return at::arange(n, bias_spans.options()).unsqueeze(0); };
  const Tensor valid_q = inside(query_positions ? *query_positions : count(queries)),
               valid_k = inside(count(keys));
  return valid_q.unsqueeze(2).logical_and(valid_k.unsqueeze(1)).unsqueeze(1).to(options);
}

// The keys of the row that a group sees: rows [begin, end) of both spans.
Tensor seen(const Tensor& x_1TGD, const int32_t* spans, int64_t token_dimension) {
  std::vector<Tensor> parts;
  for (int i = 0; i < 2; ++i) {
    const int64_t begin = std::max(spans[2 * i], 0),
                  end = std::min<int64_t>(spans[2 * i + 1], x_1TGD.size(token_dimension));
    if (end > begin) parts.push_back(x_1TGD.narrow(token_dimension, begin, end - begin));
  }
  if (parts.empty()) return x_1TGD.narrow(token_dimension, 0, 0);
  return parts.size() == 1 ? parts[0] : at::cat(parts, token_dimension);
}

// Neighbouring rows with the same spans in one call, a group of queries at a time.
Pair attend_spans(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_spans,
                  const OptionalTensor& bias) {
  const Tensor spans = key_spans.contiguous();
  const int32_t* data = spans.const_data_ptr<int32_t>();
  const int64_t rows = q.size(0), queries = q.size(1), groups = spans.size(1), size = 4 * groups;
  const int64_t per_group = (queries + groups - 1) / groups;
  std::vector<Tensor> outs, sums;
  for (int64_t begin = 0, end = 0; begin < rows; begin = end) {
    while (end < rows && std::equal(data + begin * size, data + (begin + 1) * size, data + end * size)) ++end;
    const auto of_rows = [&](const Tensor& x) { return x.narrow(0, begin, end - begin); };
    std::vector<Tensor> group_outs, group_sums;
    for (int64_t group = 0, first = 0; first < queries; ++group, first += per_group) {
      const int64_t count = std::min(per_group, queries - first);
      const int32_t* mine = data + begin * size + 4 * group;
      OptionalTensor mine_bias;
      if (bias) mine_bias = seen(of_rows(*bias).narrow(2, first, count), mine, 3);
      auto [out, logsumexp] = attend(of_rows(q).narrow(1, first, count), seen(of_rows(k), mine, 1),
                                     seen(of_rows(v), mine, 1), mine_bias);
      group_outs.push_back(out), group_sums.push_back(logsumexp);
    }
    outs.push_back(group_outs.size() == 1 ? group_outs[0] : at::cat(group_outs, 1));
    sums.push_back(group_sums.size() == 1 ? group_sums[0] : at::cat(group_sums, 2));
  }
  return outs.size() == 1 ? Pair{outs[0], sums[0]} : Pair{at::cat(outs), at::cat(sums)};
}

/// Differentiable parts, so that it serves with and without gradients.
Pair attention_cpu(const Tensor& q, const Tensor& k_BTGD, const Tensor& v_BTGD,
                   const OptionalTensor& key_spans, const OptionalTensor& bias_spans,
                   const OptionalTensor& query_positions) {
  ops::check_attention(q, k_BTGD, v_BTGD, key_spans, bias_spans, query_positions);
  if (q.numel() == 0)
    return {at::empty_like(q), at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat))};
  const Tensor k = ops::repeat_heads(k_BTGD, q.size(2)), v = ops::repeat_heads(v_BTGD, q.size(2));
  OptionalTensor bias;
  if (bias_spans) bias = additive_one(*bias_spans, query_positions, q.size(1), k.size(1), q.options());
  auto [out, logsumexp] = key_spans ? attend_spans(q, k, v, *key_spans, bias) : attend(q, k, v, bias);
  return {out, logsumexp.detach()};
}

Pair attention_meta(const Tensor& q, const Tensor&, const Tensor&, const OptionalTensor&,
                    const OptionalTensor&, const OptionalTensor&) {
  return {at::empty_symint(q.sym_sizes(), q.options()),
          at::empty_symint({q.sym_size(0), q.sym_size(2), q.sym_size(1)}, q.options().dtype(at::kFloat))};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "attention(Tensor q, Tensor k, Tensor v, Tensor? key_spans=None, Tensor? bias_spans=None, Tensor? "
      "query_positions=None) -> (Tensor out, Tensor logsumexp)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) { m.impl("attention", attention_cpu); }
TORCH_LIBRARY_IMPL(mmada, AutogradCPU, m) { m.impl("attention", attention_cpu); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) { m.impl("attention", attention_meta); }

AttentionResult attention_op(const Tensor& q_BPHD, const Tensor& k_BTGD, const Tensor& v_BTGD,
                             const AttentionSpans& spans) {
  static const auto op = find_op<Signature>("mmada::attention");
  auto [out, logsumexp] = op.call(q_BPHD, k_BTGD, v_BTGD, spans.keys, spans.bias, spans.query_positions);
  return {out, logsumexp};
}

}  // namespace mmada
