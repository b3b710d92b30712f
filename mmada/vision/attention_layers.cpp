// SPDX-License-Identifier: MIT
#include "mmada/vision/attention_layers.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada::vision {

namespace {

void append_pair(NamedTensors& list, const std::string& name, const at::Tensor& weight,
                 const at::Tensor& bias) {
  list.emplace_back(name + ".weight", weight);
  if (bias.defined()) list.emplace_back(name + ".bias", bias);
}

}  // namespace

at::Tensor Linear::forward(const at::Tensor& x) const { return at::linear(x, weight, bias); }

at::Tensor LayerNorm::forward(const at::Tensor& x_BTD) const {
  return at::layer_norm(x_BTD, {weight.size(0)}, weight, bias, eps);
}

at::Tensor attend(const at::Tensor& q_BTD, const at::Tensor& k_BSD, const at::Tensor& v_BSD, int64_t heads,
                  Reach reach, const at::Tensor& mask_B11S) {
  const auto split = [&](const at::Tensor& x) { return x.unflatten(-1, {heads, -1}).transpose(1, 2); };
  const auto mask =
      mask_B11S.defined()
          ? std::optional(mask_B11S.expand({q_BTD.size(0), heads, q_BTD.size(1), k_BSD.size(1)}))
          : std::nullopt;
  return at::scaled_dot_product_attention(split(q_BTD), split(k_BSD), split(v_BSD), mask, 0.0,
                                          reach == Reach::kBefore)
      .transpose(1, 2)
      .flatten(2);
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  return activation == Activation::kGelu ? at::gelu(x) : x * at::sigmoid(1.702 * x);
}

at::Tensor PreNormBlock::forward(const at::Tensor& x_BTD, Reach reach) const {
  const at::Tensor normed = norm1.forward(x_BTD);
  const at::Tensor x =
      x_BTD + out.forward(attend(q.forward(normed), k.forward(normed), v.forward(normed), heads, reach));
  return x + fc2.forward(activate(fc1.forward(norm2.forward(x)), activation));
}

Linear make_linear(int64_t in, int64_t out, at::TensorOptions options, bool bias) {
  return {at::empty({out, in}, options), bias ? at::empty({out}, options) : at::Tensor()};
}

LayerNorm make_layer_norm(int64_t width, double eps, at::TensorOptions options) {
  return {at::empty({width}, options), at::empty({width}, options), eps};
}

PreNormBlock make_block(const BlockShape& shape, at::TensorOptions options) {
  const auto square = [&] { return make_linear(shape.width, shape.width, options); };
  return {.norm1 = make_layer_norm(shape.width, shape.eps, options),
          .norm2 = make_layer_norm(shape.width, shape.eps, options),
          .q = square(),
          .k = square(),
          .v = square(),
          .out = square(),
          .fc1 = make_linear(shape.width, shape.inner, options),
          .fc2 = make_linear(shape.inner, shape.width, options),
          .heads = shape.heads,
          .activation = shape.activation};
}

void append(NamedTensors& list, const std::string& name, const Linear& layer) {
  append_pair(list, name, layer.weight, layer.bias);
}

void append(NamedTensors& list, const std::string& name, const LayerNorm& layer) {
  append_pair(list, name, layer.weight, layer.bias);
}

}  // namespace mmada::vision
