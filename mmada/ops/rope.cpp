// SPDX-License-Identifier: MIT
#include "mmada/ops/rope.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/rope_params.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using OptionalTensor = std::optional<Tensor>;
using Pair = std::tuple<Tensor, Tensor>;
using Signature = Pair(const Tensor&, const OptionalTensor&, const Tensor&, const Tensor&,
                       const OptionalTensor&, bool);

// The table's rows for x's tokens, with a place for the heads.
Tensor rows_for(const Tensor& table, const Tensor& x, const OptionalTensor& positions) {
  if (!positions) return table.unsqueeze(-2);
  auto shape = x.sizes().slice(0, x.dim() - 2).vec();
  shape.insert(shape.end(), {1, table.size(1)});
  return table.index_select(0, positions->flatten()).view(shape);
}

// fp64, which no kernel takes.
Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin, bool inverse) {
  const int64_t half = x.size(-1) / 2;
  const Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half), turn = inverse ? -sin : sin;
  return at::cat({a * cos - b * turn, b * cos + a * turn}, -1);
}

// On a CPU the kernel is faster than ATen's operators (benchmarks/results/2026-11-28-cpu-ops.md).
struct Cpu {
  static kernels::Status run(const kernels::RopeParams& params, const Tensor&) {
    return kernels::rope(params, CpuKernelContext());
  }
};

void check_positions(const Tensor& positions, const Tensor& table) {
  const Tensor dense = positions.contiguous();
  for (int64_t t = 0; t < dense.numel(); ++t) {
    const int32_t position = dense.const_data_ptr<int32_t>()[t];
    MMADA_CHECK(position >= 0 && position < table.size(0), "mmada::rope: positions: found ", position,
                " of token ", t, ", expected a row of the table, 0 to ", table.size(0) - 1);
  }
}

Pair rope_cpu(const Tensor& q, const OptionalTensor& k, const Tensor& cos, const Tensor& sin,
              const OptionalTensor& positions, bool inverse) {
  ops::check_rope(q, k, cos, sin, positions);
  if (positions) check_positions(*positions, cos);
  if (q.scalar_type() != at::kDouble) return ops::rope_on<Cpu>(q, k, cos, sin, positions, inverse);
  const Tensor cos_rows = rows_for(cos, q, positions), sin_rows = rows_for(sin, q, positions);
  return {rotate(q, cos_rows, sin_rows, inverse),
          k ? rotate(*k, cos_rows, sin_rows, inverse) : at::empty({0}, q.options())};
}

Pair rope_meta(const Tensor& q, const OptionalTensor& k, const Tensor&, const Tensor&, const OptionalTensor&,
               bool) {
  return {at::empty_symint(q.sym_sizes(), q.options()),
          k ? at::empty_symint(k->sym_sizes(), k->options()) : at::empty({0}, q.options())};
}

Pair call_rope(const Tensor& q, const OptionalTensor& k, const Tensor& cos, const Tensor& sin,
               const OptionalTensor& positions, bool inverse) {
  static const auto op = find_op<Signature>("mmada::rope");
  return op.call(q, k, cos, sin, positions, inverse);
}

/// The gradient of a rotation is the rotation back.
struct Rope : torch::autograd::Function<Rope> {
  static tensor_list forward(AutogradContext* context, const Tensor& q, const OptionalTensor& k,
                             const Tensor& cos, const Tensor& sin, const OptionalTensor& positions,
                             bool inverse) {
    context->save_for_backward({cos, sin, positions ? *positions : Tensor()});
    context->saved_data["inverse"] = inverse;
    context->saved_data["pair"] = k.has_value();
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [rotated_q, rotated_k] = call_rope(q, k, cos, sin, positions, inverse);
    return {rotated_q, rotated_k};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const bool pair = context->saved_data["pair"].toBool();
    const auto [dq, dk] =
        call_rope(grads[0], pair ? OptionalTensor(grads[1]) : OptionalTensor(), saved[0], saved[1],
                  saved[2].defined() ? OptionalTensor(saved[2]) : OptionalTensor(),
                  !context->saved_data["inverse"].toBool());
    return {dq, pair ? dk : Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Pair rope_autograd(const Tensor& q, const OptionalTensor& k, const Tensor& cos, const Tensor& sin,
                   const OptionalTensor& positions, bool inverse) {
  const tensor_list rotated = Rope::apply(q, k, cos, sin, positions, inverse);
  return {rotated[0], rotated[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "rope(Tensor q, Tensor? k, Tensor cos, Tensor sin, Tensor? positions=None, bool inverse=False) -> "
      "(Tensor q, Tensor "
      "k)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) { m.impl("rope", rope_cpu); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) { m.impl("rope", rope_meta); }
TORCH_LIBRARY_IMPL(mmada, Autograd, m) { m.impl("rope", rope_autograd); }

RopeTable rope_table(int64_t length, int64_t head_dim, double theta, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const Tensor exponents = at::arange(0, head_dim, 2, options).div_(static_cast<double>(head_dim));
  const Tensor frequencies = at::pow(at::Scalar(theta), exponents).reciprocal_();
  const Tensor angles = at::outer(at::arange(length, options), frequencies);
  return {angles.cos(), angles.sin()};
}

Rotated rope(const Tensor& q_THD, const Tensor& k_TGD, const RopeTable& table,
             const OptionalTensor& positions) {
  auto [q, k] = call_rope(q_THD, k_TGD, table.cos, table.sin, positions, false);
  return {q, k};
}

Tensor rope(const Tensor& x_THD, const RopeTable& table, const OptionalTensor& positions) {
  return std::get<0>(call_rope(x_THD, {}, table.cos, table.sin, positions, false));
}

}  // namespace mmada
