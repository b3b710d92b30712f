// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/host_device.h"
#include "kernels/common/math.h"
#include "kernels/common/philox.h"

namespace mmada::kernels {

/// What a pass over some of a row's logits knows: enough for the choice and every confidence. States of
/// disjoint columns merge, in any grouping; ties go to the lower id in any order.
struct SelectState {
  float largest = -INFINITY, second = -INFINITY;
  float sum = 0.0f;         ///< of exp(x - largest)
  float weighted = 0.0f;    ///< of exp(x - largest) (x - largest)
  float score = -INFINITY;  ///< best of x + noise
  float logit = -INFINITY;  ///< x of the id with the best score
  int32_t id = INT32_MAX;
  int32_t padding = 0;
};

/// One logit; -inf (a banned id) leaves everything as it is, NaN makes the sum NaN.
MMADA_HOST_DEVICE inline void add_logit(SelectState& s, float x, float score, int32_t id) {
  if (x == -INFINITY) return;
  if (x > s.largest) {
    const float gap = s.largest - x, shrink = s.largest == -INFINITY ? 0.0f : vector_exp(gap);
    s.weighted = s.largest == -INFINITY ? 0.0f : (s.weighted + s.sum * gap) * shrink;
    s.sum = s.sum * shrink + 1.0f;
    s.second = s.largest;
    s.largest = x;
  } else {
    const float gap = x - s.largest, e = vector_exp(gap);
    s.sum += e;
    s.weighted += e * gap;
    s.second = x > s.second ? x : s.second;
  }
  if (score > s.score || (score == s.score && id < s.id)) {
    s.score = score;
    s.logit = x;
    s.id = id;
  }
}

/// Field by field: choosing between whole states by reference would put them into a GPU's local memory.
MMADA_HOST_DEVICE inline SelectState choose(bool first, const SelectState& a, const SelectState& b) {
  SelectState s;
  s.largest = first ? a.largest : b.largest;
  s.second = first ? a.second : b.second;
  s.sum = first ? a.sum : b.sum;
  s.weighted = first ? a.weighted : b.weighted;
  s.score = first ? a.score : b.score;
  s.logit = first ? a.logit : b.logit;
  s.id = first ? a.id : b.id;
  return s;
}

MMADA_HOST_DEVICE inline SelectState merge(const SelectState& a, const SelectState& b) {
  const bool a_leads = a.largest >= b.largest;
  SelectState high = choose(a_leads, a, b);
  const SelectState low = choose(!a_leads, a, b);
  if (low.largest != -INFINITY) {
    const float gap = low.largest - high.largest, e = vector_exp(gap);
    high.weighted += e * (low.weighted + low.sum * gap);
    high.sum += e * low.sum;
    const float second = low.largest > low.second ? low.largest : low.second;
    high.second = high.second > second ? high.second : second;
  } else {
    high.sum += low.sum;  // 0, or the NaN of a row of NaN
  }
  if (low.score > high.score || (low.score == high.score && low.id < high.id)) {
    high.score = low.score;
    high.logit = low.logit;
    high.id = low.id;
  }
  return high;
}

/// A guided logit: u + scale (x - u), or scale x - guidance u, with scale = 1 + guidance. Fused by name:
/// what a compiler fuses of its own accord differs between devices, and with it the choice between near
/// equals.
MMADA_HOST_DEVICE inline float mix_guided(float x, float u, float guidance, bool difference_form) {
  const float scale = 1.0f + guidance;
  return difference_form ? fmaf(scale, x - u, u) : fmaf(scale, x, -(guidance * u));
}

/// Where a row's noise comes from (mmada/ops/select.h): four vocabulary ids share a Philox block.
struct NoiseRow {
  uint64_t key = 0;
  uint32_t position = 0, step = 0, stream = 0;
};
MMADA_HOST_DEVICE inline void noise_block(const NoiseRow& row, uint32_t block, uint32_t bits[4]) {
  const uint32_t counter[4] = {block, row.position, row.step, row.stream};
  philox4x32(row.key, counter, bits);
}
/// -log(-log u) of the largest u that open_unit_float gives, rounded up.
constexpr float kLargestGumbel = 16.64f;

}  // namespace mmada::kernels
