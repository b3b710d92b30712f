// SPDX-License-Identifier: MIT
#include "kernels/remask/remask.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/select/row_state.h"

namespace mmada::kernels {

namespace {

struct Candidate {
  int64_t slot;
  double confidence, score;
};

double score_of(const RemaskParams& p, int64_t b, int64_t slot, double confidence) {
  if (p.rule != RemaskRule::kMaskGit) return confidence;
  const double temperature = p.temperatures_S != nullptr ? p.temperatures_S[p.steps_B[b]] : 0.0;
  const double score = std::log(std::max(confidence, 1e-20));
  if (temperature == 0) return score;
  uint32_t bits[4];
  const auto position = static_cast<uint32_t>(p.begins_B[b] + slot),
             step = static_cast<uint32_t>(p.steps_B[b]);
  noise_block({*p.noise_key, position, step, p.streams_B[b]}, 0, bits);
  return score - temperature * std::log(-std::log(static_cast<double>(open_unit_float(bits[0]))));
}

/// How many of the sorted candidates are committed.
int64_t committed(const RemaskParams& p, int64_t b, const std::vector<Candidate>& sorted) {
  const auto size = static_cast<int64_t>(sorted.size());
  const int32_t step = p.steps_B[b];
  if (p.rule == RemaskRule::kCount) return std::clamp<int64_t>(p.counts_BS[b * p.steps + step], 0, size);
  if (p.rule == RemaskRule::kMaskGit) {
    if (step + 1 >= p.steps) return size;
    const auto remasked = std::max<int64_t>(1, std::min<int64_t>(size - 1, p.counts_BS[b * p.steps + step]));
    return std::max<int64_t>(0, size - remasked);
  }
  int64_t n = 0;
  while (n < size) {
    const double c = sorted[n].confidence;
    const bool sure = p.rule == RemaskRule::kThreshold ? c >= p.threshold
                                                       : static_cast<double>(n + 2) * (1 - c) < p.threshold;
    if (!sure) break;
    ++n;
  }
  return std::min(size, std::max<int64_t>(n, 1));
}

}  // namespace

void remask_ref(const RemaskParams& p) {
  for (int64_t b = 0; b < p.batch; ++b) {
    if (p.active_B != nullptr && p.active_B[b] == 0) continue;
    int32_t* tokens = p.tokens_BT + b * p.token_stride + p.begins_B[b];
    std::vector<Candidate> sorted;
    for (int64_t slot = 0; slot < p.slots; ++slot) {
      if (tokens[slot] != p.mask_id) continue;
      const double confidence = p.confidence_BR[b * p.slots + slot];
      const double score = std::isnan(confidence) ? -std::numeric_limits<double>::infinity()
                                                  : score_of(p, b, slot, confidence);
      sorted.push_back({slot, confidence, score});
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Candidate& x, const Candidate& y) { return x.score > y.score; });
    const int64_t count = committed(p, b, sorted);
    for (int64_t i = 0; i < count; ++i) {
      tokens[sorted[i].slot] = p.proposals_BR[b * p.slots + sorted[i].slot];
      if (p.commit_step_BT != nullptr)
        p.commit_step_BT[b * p.token_stride + p.begins_B[b] + sorted[i].slot] = p.steps_B[b];
    }
    p.steps_B[b] += 1;
    p.done_B[b] = count == std::ssize(sorted) || p.steps_B[b] >= p.steps;
  }
}

}  // namespace mmada::kernels
