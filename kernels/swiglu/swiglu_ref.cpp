// SPDX-License-Identifier: MIT
#include "kernels/swiglu/swiglu.h"

#include <cmath>

namespace mmada::kernels {

void swiglu_ref(const SwigluParams& p) {
  const auto *gate = static_cast<const float*>(p.gate), *up = static_cast<const float*>(p.up);
  for (int64_t i = 0; i < p.count; ++i) {
    const double x = gate[i];
    static_cast<float*>(p.out)[i] = static_cast<float>(x / (1 + std::exp(-x)) * up[i]);
  }
}

void swiglu_backward_ref(const SwigluParams& p, const SwigluGradients& g) {
  const auto *gate = static_cast<const float*>(p.gate), *up = static_cast<const float*>(p.up),
             *dout = static_cast<const float*>(g.dout);
  for (int64_t i = 0; i < p.count; ++i) {
    const double x = gate[i], dy = dout[i], sigmoid = 1 / (1 + std::exp(-x));
    const double dgate = dy * up[i] * (sigmoid + x * sigmoid * (1 - sigmoid)), dup = dy * x * sigmoid;
    static_cast<float*>(g.dgate)[i] = static_cast<float>(dgate);
    static_cast<float*>(g.dup)[i] = static_cast<float>(dup);
  }
}

}  // namespace mmada::kernels
