// SPDX-License-Identifier: MIT
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "kernels/attention/attention.h"
#include "mmada/ops/attention_params.h"
#include "mmada/ops/cuda/kernel_context.h"

namespace mmada {

namespace {

using at::Tensor;
using ops::OptionalTensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Pair = std::tuple<Tensor, Tensor>;

/// What the kernel reads besides q, k and v; dense, and alive as long as the call. Packed rows come as one
/// row, [1, N, H, D], that offsets cut.
struct Spans {
  Spans(const OptionalTensor& keys, const OptionalTensor& bias, const OptionalTensor& positions)
      : keys(keys ? keys->contiguous() : Tensor()),
        bias(bias ? bias->contiguous() : Tensor()),
        positions(positions ? positions->contiguous() : Tensor()) {}
  Spans(const Tensor& query_offsets, const Tensor& key_offsets, int64_t longest_query, int64_t longest_key)
      : query_offsets(query_offsets.contiguous()),
        key_offsets(key_offsets.contiguous()),
        longest_query(longest_query),
        longest_key(longest_key) {}
  bool packed() const { return query_offsets.defined(); }
  Tensor keys, bias, positions, query_offsets, key_offsets;
  int64_t longest_query = 0, longest_key = 0;
};

const int32_t* ints(const Tensor& x) { return x.defined() ? x.const_data_ptr<int32_t>() : nullptr; }

kernels::AttentionStrides strides_of(const Tensor& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }

/// Dense heads at 16-byte steps, copied only where they are not.
Tensor aligned(const Tensor& x) {
  constexpr int64_t kElements = 8;
  const bool good = x.stride(3) == 1 && x.stride(0) % kElements == 0 && x.stride(1) % kElements == 0 &&
                    x.stride(2) % kElements == 0 && reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0;
  return good ? x : x.contiguous();
}

bool has_kernel(const Tensor& q) {
  return (q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf) &&
         (q.size(3) == 64 || q.size(3) == 128);
}

kernels::AttentionParams params_of(const Tensor& q, const Tensor& k, const Tensor& v, const Spans& spans,
                                   const Tensor& out, const Tensor& logsumexp) {
  const int64_t queries = spans.packed() ? spans.longest_query : q.size(1),
                groups = spans.keys.defined() ? spans.keys.size(1) : 1;
  return {.q = q.const_data_ptr(),
          .k = k.const_data_ptr(),
          .v = v.const_data_ptr(),
          .out = out.mutable_data_ptr(),
          .logsumexp = logsumexp.mutable_data_ptr<float>(),
          .type = *kernel_float_type(q.scalar_type()),
          .q_strides = strides_of(q),
          .k_strides = strides_of(k),
          .v_strides = strides_of(v),
          .out_strides = strides_of(out),
          .batch = spans.packed() ? spans.query_offsets.numel() - 1 : q.size(0),
          .queries = queries,
          .keys = spans.packed() ? spans.longest_key : k.size(1),
          .heads = q.size(2),
          .key_heads = k.size(2),
          .head_dim = q.size(3),
          .query_offsets_B1 = ints(spans.query_offsets),
          .key_offsets_B1 = ints(spans.key_offsets),
          .total_queries = q.size(0) * q.size(1),
          .key_spans = ints(spans.keys),
          .query_groups = groups,
          .queries_per_group = groups > 1 ? (queries + groups - 1) / groups : 0,
          .bias_spans_B2 = ints(spans.bias),
          .query_positions_BQ = ints(spans.positions),
          .scale = 1.0f / std::sqrt(static_cast<float>(q.size(3)))};
}

/// The kernel's logsumexp is [H, B * P].
Tensor by_row(const Tensor& logsumexp_HN, const Tensor& q) {
  return logsumexp_HN.view({q.size(2), q.size(0), q.size(1)}).transpose(0, 1).contiguous();
}

Pair kernel_forward(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in, const Spans& spans) {
  const Tensor q = aligned(q_in), k = aligned(k_in), v = aligned(v_in);
  const Tensor out = at::empty(q.sizes(), q.options());
  const Tensor logsumexp = at::empty({q.size(2), q.size(0) * q.size(1)}, q.options().dtype(at::kFloat));
  const kernels::AttentionParams params = params_of(q, k, v, spans, out, logsumexp);
  check_kernel(
      kernels::attention_cuda(params, CudaKernelContext(q, kernels::attention_workspace_size(params))),
      "attention");
  return {out, logsumexp};
}

/// Whole score matrices: what runs for types and widths without a kernel.
Pair composed(const Tensor& q, const Tensor& k_BTGD, const Tensor& v_BTGD, const Spans& spans) {
  const int64_t heads = q.size(2), queries = q.size(1), keys = k_BTGD.size(1);
  const Tensor k = ops::repeat_heads(k_BTGD, heads).transpose(1, 2);
  const Tensor v = ops::repeat_heads(v_BTGD, heads).transpose(1, 2);
  Tensor scores = at::matmul(q.transpose(1, 2).to(at::kFloat), k.transpose(2, 3).to(at::kFloat));
  scores = scores / std::sqrt(static_cast<double>(q.size(3)));
  const auto count = [&](int64_t n) { return at::arange(n, q.options().dtype(at::kInt)); };
  const auto inside = [](const Tensor& x, const Tensor& begin, const Tensor& end) {
    return x.ge(begin).logical_and(x.lt(end));
  };
  if (spans.bias.defined()) {
    const Tensor begin = spans.bias.narrow(1, 0, 1), end = spans.bias.narrow(1, 1, 1);
    const Tensor positions = spans.positions.defined() ? spans.positions : count(queries).unsqueeze(0);
    const Tensor both = inside(positions, begin, end)
                            .unsqueeze(2)
                            .logical_and(inside(count(keys).unsqueeze(0), begin, end).unsqueeze(1));
    scores = scores + both.unsqueeze(1).to(at::kFloat);
  }
  if (spans.packed()) {  // a token belongs to the row of the last offset at or before it
    const auto row_of = [&](const Tensor& offsets, int64_t n) {
      return at::bucketize(count(n), offsets.slice(0, 1), /*out_int32=*/false, /*right=*/true);
    };
    const Tensor same =
        row_of(spans.query_offsets, queries).unsqueeze(1).eq(row_of(spans.key_offsets, keys).unsqueeze(0));
    scores = scores.masked_fill(same.logical_not(), -std::numeric_limits<float>::infinity());
  }
  if (spans.keys.defined()) {
    const int64_t groups = spans.keys.size(1), per_group = (queries + groups - 1) / groups;
    const Tensor of_query =
        spans.keys.index_select(1, count(queries).div(per_group, "floor"));  // [B, P, 2, 2]
    const auto span = [&](int64_t i) {
      const Tensor one = of_query.select(2, i);
      return inside(count(keys), one.narrow(2, 0, 1), one.narrow(2, 1, 1));
    };
    scores = scores.masked_fill(span(0).logical_or(span(1)).logical_not().unsqueeze(1),
                                -std::numeric_limits<float>::infinity());
  }
  const Tensor logsumexp = scores.logsumexp(-1);
  const Tensor p = at::nan_to_num(at::softmax(scores, -1), 0.0).to(q.scalar_type());
  const Tensor flat = logsumexp.detach().transpose(0, 1).contiguous();  // [H, B, P]
  return {at::matmul(p, v).transpose(1, 2), flat.view({heads, -1})};
}

Pair attend(const Tensor& q, const Tensor& k, const Tensor& v, const Spans& spans) {
  const auto [out, logsumexp] = has_kernel(q) ? kernel_forward(q, k, v, spans) : composed(q, k, v, spans);
  return {out, by_row(logsumexp, q)};
}

Pair attention_cuda(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& key_spans,
                    const OptionalTensor& bias_spans, const OptionalTensor& query_positions) {
  ops::check_attention(q, k, v, key_spans, bias_spans, query_positions);
  return attend(q, k, v, Spans(key_spans, bias_spans, query_positions));
}

/// As one row that offsets cut.
Pair packed_cuda(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& query_offsets,
                 const Tensor& key_offsets, int64_t longest_query, int64_t longest_key) {
  ops::check_packed_attention(q, k, v, query_offsets, key_offsets, longest_query, longest_key);
  const auto [out, logsumexp] = attend(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0),
                                       Spans(query_offsets, key_offsets, longest_query, longest_key));
  return {out.squeeze(0), logsumexp.squeeze(0)};
}

struct Attention : torch::autograd::Function<Attention> {
  static tensor_list forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Spans& spans) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, logsumexp] = kernel_forward(q, k, v, spans);
    context->save_for_backward({q, k, v, out, logsumexp, spans.keys, spans.bias, spans.positions,
                                spans.query_offsets, spans.key_offsets});
    context->saved_data["longest_query"] = spans.longest_query;
    context->saved_data["longest_key"] = spans.longest_key;
    const Tensor sums = by_row(logsumexp, q);
    context->mark_non_differentiable({sums});
    return {out, sums};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor q = aligned(saved[0]), k = aligned(saved[1]), v = aligned(saved[2]), &out = saved[3],
                 &logsumexp = saved[4];
    const auto some = [](const Tensor& x) { return x.defined() ? OptionalTensor(x) : OptionalTensor(); };
    const Spans spans = saved[8].defined()
                            ? Spans(saved[8], saved[9], context->saved_data["longest_query"].toInt(),
                                    context->saved_data["longest_key"].toInt())
                            : Spans(some(saved[5]), some(saved[6]), some(saved[7]));
    const kernels::AttentionParams params = params_of(q, k, v, spans, out, logsumexp);
    // gradients are laid out like their tensors
    const Tensor dout = grads[0].contiguous();
    const auto like = [](const Tensor& x) { return at::empty_strided(x.sizes(), x.strides(), x.options()); };
    const Tensor dq = like(q), dk = like(k), dv = like(v);
    const kernels::AttentionGradients gradients{.dout = dout.const_data_ptr(),
                                                .dq = dq.mutable_data_ptr(),
                                                .dk = dk.mutable_data_ptr(),
                                                .dv = dv.mutable_data_ptr()};
    const CudaKernelContext kernel_context(q, kernels::attention_backward_workspace_size(params));
    check_kernel(kernels::attention_backward_cuda(params, gradients, kernel_context), "attention_backward");
    return {dq, dk, dv, Tensor()};
  }
};

Pair attend_with_gradient(const Tensor& q, const Tensor& k, const Tensor& v, const Spans& spans) {
  if (!has_kernel(q)) {
    const auto [out, logsumexp] = composed(q, k, v, spans);
    return {out, by_row(logsumexp, q)};
  }
  const tensor_list result = Attention::apply(q, k, v, spans);
  return {result[0], result[1]};
}

Pair attention_autograd(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& key_spans,
                        const OptionalTensor& bias_spans, const OptionalTensor& query_positions) {
  ops::check_attention(q, k, v, key_spans, bias_spans, query_positions);
  return attend_with_gradient(q, k, v, Spans(key_spans, bias_spans, query_positions));
}

Pair packed_autograd(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& query_offsets,
                     const Tensor& key_offsets, int64_t longest_query, int64_t longest_key) {
  ops::check_packed_attention(q, k, v, query_offsets, key_offsets, longest_query, longest_key);
  const auto [out, logsumexp] =
      attend_with_gradient(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0),
                           Spans(query_offsets, key_offsets, longest_query, longest_key));
  return {out.squeeze(0), logsumexp.squeeze(0)};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("attention", attention_cuda);
  m.impl("packed_attention", packed_cuda);
}
TORCH_LIBRARY_IMPL(mmada, AutogradCUDA, m) {
  m.impl("attention", attention_autograd);
  m.impl("packed_attention", packed_autograd);
}

}  // namespace mmada
