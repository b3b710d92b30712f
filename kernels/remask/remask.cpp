// SPDX-License-Identifier: MIT
// A thread takes whole rows: candidates are partitioned around the last one to be committed, never sorted as
// a whole.
#include "kernels/remask/remask.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/select/row_state.h"

namespace mmada::kernels {

namespace {

struct Candidate {
  float score, confidence;
  int32_t slot;
};

/// The total order: score, then the lower slot.
bool better(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.slot < b.slot;
}

/// What a row's step reads once.
struct Row {
  int64_t b;
  int32_t step, begin;
  float temperature;
};

float score_of(const RemaskParams& p, const Row& row, int32_t slot, float confidence) {
  if (std::isnan(confidence)) return -INFINITY;
  if (p.rule != RemaskRule::kMaskGit) return confidence;
  const float clamped = std::max(confidence, 1e-20f);
  if (row.temperature == 0.0f) return clamped;  // its rounded logarithm would only make ties
  uint32_t bits[4];
  noise_block({*p.noise_key, static_cast<uint32_t>(row.begin + slot), static_cast<uint32_t>(row.step),
               p.streams_B[row.b]},
              0, bits);
  return std::log(clamped) - row.temperature * std::log(-std::log(open_unit_float(bits[0])));
}

/// Moves the candidates to be committed to the front and counts them.
int64_t choose(const RemaskParams& p, const Row& row, std::vector<Candidate>& candidates) {
  const auto size = static_cast<int64_t>(candidates.size());
  const auto best = [&](int64_t count) {
    if (count > 0 && count < size)
      std::nth_element(candidates.begin(), candidates.begin() + (count - 1), candidates.end(), better);
    return count;
  };
  switch (p.rule) {
    case RemaskRule::kCount:
      return best(std::clamp<int64_t>(p.counts_BS[row.b * p.steps + row.step], 0, size));
    case RemaskRule::kMaskGit: {
      if (row.step + 1 >= p.steps) return size;
      const int64_t remasked =
          std::max<int64_t>(1, std::min<int64_t>(size - 1, p.counts_BS[row.b * p.steps + row.step]));
      return best(std::max<int64_t>(0, size - remasked));
    }
    case RemaskRule::kThreshold: {
      const auto sure = [&](const Candidate& c) { return c.confidence >= p.threshold; };
      const int64_t count = std::partition(candidates.begin(), candidates.end(), sure) - candidates.begin();
      return count > 0 ? count : best(std::min<int64_t>(1, size));
    }
    case RemaskRule::kFactor: {
      std::sort(candidates.begin(), candidates.end(), better);
      int64_t n = 0;
      while (n < size && static_cast<float>(n + 2) * (1.0f - candidates[n].confidence) < p.threshold) ++n;
      return std::min(size, std::max<int64_t>(n, 1));
    }
  }
  return 0;
}

void remask_row(const RemaskParams& p, int64_t b) {
  if (p.active_B != nullptr && p.active_B[b] == 0) return;
  const int32_t step = p.steps_B[b];
  const Row row{b, step, p.begins_B[b], p.temperatures_S != nullptr ? p.temperatures_S[step] : 0.0f};
  int32_t* tokens = p.tokens_BT + b * p.token_stride + row.begin;
  std::vector<Candidate> candidates;
  for (int32_t slot = 0; slot < p.slots; ++slot) {
    if (tokens[slot] != p.mask_id) continue;
    const float confidence = p.confidence_BR[b * p.slots + slot];
    candidates.push_back({score_of(p, row, slot, confidence), confidence, slot});
  }
  const int64_t count = choose(p, row, candidates);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t slot = candidates[i].slot;
    tokens[slot] = p.proposals_BR[b * p.slots + slot];
    if (p.commit_step_BT != nullptr) p.commit_step_BT[b * p.token_stride + row.begin + slot] = step;
  }
  p.steps_B[b] = step + 1;
  p.done_B[b] = count == std::ssize(candidates) || step + 1 >= p.steps ? 1 : 0;
}

}  // namespace

Status remask(const RemaskParams& p, const Context& context) {
  if (!remask_is_valid(p)) return Status::kInvalid;
  context.for_chunks(p.batch, [&](int64_t b) { remask_row(p, b); });
  return Status::kOk;
}

}  // namespace mmada::kernels
