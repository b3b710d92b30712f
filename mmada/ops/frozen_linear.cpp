// SPDX-License-Identifier: MIT
#include "mmada/ops/frozen_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <optional>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kBlock = FrozenWeight::kNf4Block;
/// Quantiles of the normal distribution, 0 among them, scaled to [-1, 1] (arXiv 2305.14314, appendix E).
constexpr std::array<float, 16> kNf4Levels = {-1.0F,
                                              -0.6961928009986877F,
                                              -0.5250730514526367F,
                                              -0.39491748809814453F,
                                              -0.28444138169288635F,
                                              -0.18477343022823334F,
                                              -0.09105003625154495F,
                                              0.0F,
                                              0.07958029955625534F,
                                              0.16093020141124725F,
                                              0.24611230194568634F,
                                              0.33791524171829224F,
                                              0.44070982933044434F,
                                              0.5626170039176941F,
                                              0.7229568362236023F,
                                              1.0F};

at::Tensor level_tensor(at::Device device) {
  return at::tensor(at::ArrayRef<float>(kNf4Levels), at::kFloat).to(device);
}

/// The two levels of each byte: [256, 2].
at::Tensor level_pairs(at::Device device) {
  const at::Tensor levels = level_tensor(device);
  return at::stack({levels.repeat_interleave(16), levels.repeat({16})}, 1);
}

/// A block's scale at each of its columns: [O, I].
at::Tensor at_columns(const at::Tensor& scales, int64_t columns) {
  return scales.unsqueeze(-1).expand({-1, -1, kBlock}).flatten(1).narrow(1, 0, columns);
}

/// 1 where a scale is 0: what it scales is 0.
at::Tensor divisor(const at::Tensor& scales) { return scales.masked_fill(scales == 0, 1); }

void quantise_int8(const at::Tensor& weight, const FrozenWeight& into) {
  const at::Tensor scales = weight.abs().amax(1).div(127);
  at::Tensor(into.scales).copy_(scales);
  at::Tensor(into.values).copy_(weight.div(divisor(scales).unsqueeze(1)).round());
}

void quantise_nf4(const at::Tensor& weight, const FrozenWeight& into) {
  const int64_t columns = weight.size(1), blocks = into.scales.size(1);
  const at::Tensor padded = at::constant_pad_nd(weight, {0, blocks * kBlock - columns});
  at::Tensor(into.scales).copy_(padded.unflatten(1, {blocks, kBlock}).abs().amax(2));
  const at::Tensor levels = level_tensor(weight.device());
  const at::Tensor middles = levels.narrow(0, 0, 15).add(levels.narrow(0, 1, 15)).div(2);
  const at::Tensor codes = at::bucketize(weight / at_columns(divisor(into.scales), columns), middles)
                               .to(at::kByte)
                               .unflatten(1, {columns / 2, 2});
  at::Tensor(into.values).copy_(codes.select(2, 0).mul(16).add(codes.select(2, 1)));
}

at::Tensor dequantise_nf4(const FrozenWeight& weight) {
  const int64_t rows = weight.values.size(0), columns = 2 * weight.values.size(1);
  const at::Tensor levels =
      level_pairs(weight.values.device()).index_select(0, weight.values.flatten().to(at::kInt));
  return levels.view({rows, columns}).mul_(at_columns(weight.scales, columns));
}

struct FrozenLinear : torch::autograd::Function<FrozenLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& values,
                            const std::optional<at::Tensor>& scales, int64_t format) {
    context->save_for_backward({values, scales.value_or(at::Tensor())});
    context->saved_data["format"] = format;
    const FrozenWeight weight{static_cast<WeightFormat>(format), values, scales.value_or(at::Tensor())};
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = values.size(0);
    return product_transposed(x.flatten(0, -2), dequantise(weight, x.scalar_type())).view(shape);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    tensor_list result(4);
    if (!context->needs_input_grad(0)) return result;
    const auto saved = context->get_saved_variables();
    const FrozenWeight weight{static_cast<WeightFormat>(context->saved_data["format"].toInt()), saved[0],
                              saved[1]};
    const at::Tensor full = dequantise(weight, grads[0].scalar_type());
    std::vector<int64_t> shape = grads[0].sizes().vec();
    shape.back() = full.size(1);
    result[0] = product_transposed(grads[0].flatten(0, -2), full.t()).view(shape);
    return result;
  }
};

}  // namespace

void quantise(const at::Tensor& weight_OI, const FrozenWeight& into) {
  const at::NoGradGuard no_grad;
  if (into.format == WeightFormat::kFull) {
    at::Tensor(into.values).copy_(weight_OI);
    return;
  }
  const at::Tensor weight = weight_OI.to(at::kFloat);
  if (into.format == WeightFormat::kInt8) return quantise_int8(weight, into);
  MMADA_CHECK(weight.size(1) % 2 == 0, "nf4: found ", weight.size(1),
              " columns, expected an even number: two share a byte");
  quantise_nf4(weight, into);
}

at::Tensor dequantise(const FrozenWeight& weight, at::ScalarType type) {
  const at::NoGradGuard no_grad;
  if (weight.format == WeightFormat::kFull) return weight.values.to(type);
  if (weight.format == WeightFormat::kInt8)
    return weight.values.to(at::kFloat).mul_(weight.scales.unsqueeze(1)).to(type);
  return dequantise_nf4(weight).to(type);
}

at::Tensor project_frozen(const at::Tensor& x, const FrozenWeight& weight) {
  const int64_t inputs = weight.values.size(1) * (weight.format == WeightFormat::kNf4 ? 2 : 1);
  MMADA_CHECK(x.dim() >= 2 && x.size(-1) == inputs, "project_frozen: found x ", x.sizes(),
              ", expected [..., ", inputs, "]");
  const auto scales = weight.scales.defined() ? std::optional(weight.scales) : std::nullopt;
  return FrozenLinear::apply(x, weight.values, scales, static_cast<int64_t>(weight.format));
}

}  // namespace mmada
