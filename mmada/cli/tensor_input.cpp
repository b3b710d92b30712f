// SPDX-License-Identifier: MIT
#include "mmada/cli/tensor_input.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/model/checkpoint.h"

namespace mmada::cli {

at::Tensor take_tensor(const std::map<std::string, at::Tensor>& tensors, const TensorForm& form,
                       const std::string& source) {
  const std::string expected = cat(form.integer ? "int64 " : "fp32 ", form.shape);
  const auto found = tensors.find(form.name);
  MMADA_CHECK(found != tensors.end(), source, ": tensor ", quote(form.name), ": found none, expected ",
              expected);
  const at::Tensor& tensor = found->second;
  const bool typed =
      form.integer ? tensor.scalar_type() == at::kLong : at::isFloatingType(tensor.scalar_type());
  MMADA_CHECK(typed && tensor.dim() == form.dimensions && tensor.numel() > 0, source, ": tensor ",
              quote(form.name), ": found ", dtype_name(dtype_of(tensor.scalar_type())), " of shape ",
              tensor.sizes(), ", expected ", expected, " with at least one element");
  return tensor;
}

}  // namespace mmada::cli
