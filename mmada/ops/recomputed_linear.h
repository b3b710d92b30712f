// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace mmada {

/// Products of a cheap function's output h = f(inputs) [..., I] with the transposes of weights [O, I], which
/// keep the inputs for the backward pass instead of h: f, which has to be pure, runs again there.
/// Differentiable in inputs and weights.
std::vector<at::Tensor> project_recomputed(const std::function<at::Tensor(at::TensorList inputs)>& function,
                                           at::TensorList inputs, at::TensorList weights);

}  // namespace mmada
