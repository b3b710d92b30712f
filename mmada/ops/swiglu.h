// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// silu(gate) * up (SPEC 1.2). Saves only its inputs for the gradient. The op is mmada::swiglu.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace mmada
