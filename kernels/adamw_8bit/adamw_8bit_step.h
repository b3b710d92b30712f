// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "kernels/adamw_8bit/adamw_8bit.h"

/// What the CPU's and the GPU's kernel share.
namespace mmada::kernels {

struct MomentTables {
  float levels7[128], midpoints7[128], levels8[256], midpoints8[256];
};

/// A step's constants, in fp32.
struct Adamw8bitStep {
  float decay, size, correction, beta1, own1, beta2, own2, epsilon;

  explicit Adamw8bitStep(const Adamw8bitParams& p)
      : decay(static_cast<float>(1 - p.learning_rate * p.weight_decay)),
        size(static_cast<float>(p.learning_rate / (1 - std::pow(p.beta1, p.step)))),
        correction(static_cast<float>(1 / std::sqrt(1 - std::pow(p.beta2, p.step)))),
        beta1(static_cast<float>(p.beta1)),
        own1(static_cast<float>(1 - p.beta1)),
        beta2(static_cast<float>(p.beta2)),
        own2(static_cast<float>(1 - p.beta2)),
        epsilon(static_cast<float>(p.epsilon)) {}
};

struct Moments {
  float average, root;
};

MMADA_HOST_DEVICE inline Moments decode_moments(uint8_t average, uint8_t root, float average_scale,
                                                float root_scale, const MomentTables& tables) {
  const float magnitude = tables.levels7[average & 127] * average_scale;
  return {average & 128 ? -magnitude : magnitude, tables.levels8[root] * root_scale};
}

/// The moments with this gradient, and the weight moved by them.
MMADA_HOST_DEVICE inline Moments update_moments(const Adamw8bitStep& s, Moments old, float grad,
                                                float& weight) {
  const float average = s.beta1 * old.average + s.own1 * grad;
  const float root = sqrtf(s.beta2 * old.root * old.root + s.own2 * grad * grad);
  weight = weight * s.decay - s.size * average / (root * s.correction + s.epsilon);
  return {average, root};
}

/// What moments are divided by: of a block of zeros every moment is 0.
MMADA_HOST_DEVICE inline float divisor(float scale) { return scale > 0.0f ? scale : 1.0f; }

/// The byte of an average whose magnitude has this code.
MMADA_HOST_DEVICE inline uint8_t average_byte(unsigned code, float average) {
  return static_cast<uint8_t>(average < 0.0f ? code | 128 : code);
}
/// The byte of a root with this code: only 0 has code 0.
MMADA_HOST_DEVICE inline uint8_t root_byte(unsigned code, float root) {
  return static_cast<uint8_t>(root > 0.0f && code == 0 ? 1 : code);
}

}  // namespace mmada::kernels
