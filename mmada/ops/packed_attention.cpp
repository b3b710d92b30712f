// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <torch/library.h>

#include "mmada/ops/attention_op.h"
#include "mmada/ops/attention_params.h"
#include "mmada/ops/dispatch.h"

namespace mmada {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;
using Signature = Pair(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t,
                       int64_t);

/// Ends of the rows, checked: offsets[B + 1] of rows no longer than `longest`.
const int32_t* checked_offsets(const char* name, const Tensor& offsets, int64_t tokens, int64_t longest) {
  const int32_t* data = offsets.const_data_ptr<int32_t>();
  const int64_t rows = offsets.numel() - 1;
  MMADA_CHECK(data[0] == 0 && data[rows] == tokens, "mmada::packed_attention: ", name, ": found ", data[0],
              " to ", data[rows], ", expected 0 to ", tokens);
  for (int64_t b = 0; b < rows; ++b)
    MMADA_CHECK(data[b] <= data[b + 1] && data[b + 1] - data[b] <= longest, "mmada::packed_attention: ", name,
                ": row ", b, ": found [", data[b], ", ", data[b + 1], "), expected up to ", longest,
                " tokens");
  return data;
}

/// A row at a time, by the op for rectangles, which brings its gradient along.
Pair packed_cpu(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& query_offsets,
                const Tensor& key_offsets, int64_t longest_query, int64_t longest_key) {
  ops::check_packed_attention(q, k, v, query_offsets, key_offsets, longest_query, longest_key);
  const Tensor queries = query_offsets.contiguous(), keys = key_offsets.contiguous();
  const int32_t* of_q = checked_offsets("query_offsets", queries, q.size(0), longest_query);
  const int32_t* of_k = checked_offsets("key_offsets", keys, k.size(0), longest_key);
  std::vector<Tensor> outs, sums;
  for (int64_t b = 0; b + 1 < queries.numel(); ++b) {
    const auto row = [&](const Tensor& x, const int32_t* offsets) {
      return x.narrow(0, offsets[b], offsets[b + 1] - offsets[b]).unsqueeze(0);
    };
    if (of_q[b] == of_q[b + 1]) continue;
    const AttentionResult result = attention_op(row(q, of_q), row(k, of_k), row(v, of_k), {});
    outs.push_back(result.out.squeeze(0)), sums.push_back(result.logsumexp.squeeze(0));
  }
  if (outs.empty()) return {at::empty_like(q), at::empty({q.size(1), 0}, q.options().dtype(at::kFloat))};
  return {at::cat(outs, 0), at::cat(sums, 1)};
}

Pair packed_meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t,
                 int64_t) {
  return {at::empty_symint(q.sym_sizes(), q.options()),
          at::empty_symint({q.sym_size(1), q.sym_size(0)}, q.options().dtype(at::kFloat))};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "packed_attention(Tensor q, Tensor k, Tensor v, Tensor query_offsets, Tensor key_offsets, int "
      "longest_query, int longest_key) -> (Tensor out, Tensor logsumexp)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) { m.impl("packed_attention", packed_cpu); }
TORCH_LIBRARY_IMPL(mmada, AutogradCPU, m) { m.impl("packed_attention", packed_cpu); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) { m.impl("packed_attention", packed_meta); }

AttentionResult packed_attention_op(const Tensor& q_NHD, const Tensor& k_MGD, const Tensor& v_MGD,
                                    const PackedRows& rows) {
  static const auto op = find_op<Signature>("mmada::packed_attention");
  auto [out, logsumexp] = op.call(q_NHD, k_MGD, v_MGD, rows.query_offsets, rows.key_offsets,
                                  rows.longest_query, rows.longest_key);
  return {out, logsumexp};
}

}  // namespace mmada
