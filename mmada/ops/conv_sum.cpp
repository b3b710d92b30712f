// SPDX-License-Identifier: MIT
#include "mmada/ops/conv_sum.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace mmada {

namespace {

using Ints = at::IntArrayRef;
using ConvolutionBinary = at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&,
                                      const std::optional<at::Tensor>&, Ints, Ints, Ints, int64_t,
                                      std::string_view, std::optional<at::Scalar>,
                                      std::optional<std::string_view>, c10::List<std::optional<at::Scalar>>,
                                      std::optional<std::string_view>);

/// Empty in a libtorch built without oneDNN.
const std::optional<c10::OperatorHandle>& onednn_op() {
  static const auto op =
      c10::Dispatcher::singleton().findSchema({"mkldnn::_convolution_pointwise_", "binary"});
  return op;
}

}  // namespace

bool conv_sum_is_fused(const at::Tensor& x_BCHW) {
  return x_BCHW.is_cpu() && x_BCHW.scalar_type() == at::kFloat && onednn_op().has_value();
}

void conv_sum(at::Tensor& sum_BOHW, const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK,
              const at::Tensor& bias_O, int64_t stride, int64_t padding) {
  if (!conv_sum_is_fused(x_BCHW)) {
    sum_BOHW.add_(at::conv2d(x_BCHW, weight_OCKK, bias_O, stride, padding));
    return;
  }
  static const auto op = onednn_op()->typed<ConvolutionBinary>();
  const std::array<int64_t, 2> pad = {padding, padding}, step = {stride, stride}, dilation = {1, 1};
  const c10::List<std::optional<at::Scalar>> no_scalars;
  op.call(sum_BOHW, x_BCHW, weight_OCKK, bias_O, pad, step, dilation, 1, "add", 1.0, std::nullopt, no_scalars,
          std::nullopt);
}

}  // namespace mmada
