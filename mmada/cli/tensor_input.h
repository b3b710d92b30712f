// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace mmada::cli {

/// A tensor that a verb takes out of a safetensors file.
struct TensorForm {
  std::string name;
  std::string shape;  ///< as the help spells it, such as "[B, T]"
  int64_t dimensions = 0;
  bool integer = true;  ///< int64, else any floating type
};
/// The tensor of this form; one that is missing, empty or of another form is an error that names `source`.
at::Tensor take_tensor(const std::map<std::string, at::Tensor>& tensors, const TensorForm& form,
                       const std::string& source);

}  // namespace mmada::cli
