// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mmada/diffusion/schedule.h"
#include "mmada/ops/select.h"

namespace mmada {

/// What a commit rule sees of one row's step: the candidates (masked positions, ascending) with their
/// proposals.
struct CommitContext {
  std::span<const int64_t> positions = {};
  std::span<const int64_t> ids = {};
  std::span<const double> confidence = {};
  int64_t step = 0;              ///< of the region, from 0
  int64_t steps = 1;             ///< of the region
  int64_t slots = 0;             ///< positions of the region, known ones included
  int64_t unknown_at_start = 0;  ///< of them MASK when the region was opened
  NoiseSource noise = {};
};

/// A region when it is opened.
struct OpenedRegion {
  int64_t steps = 1;
  int64_t slots = 0;             ///< its positions, known ones included
  int64_t unknown_at_start = 0;  ///< of them MASK
};

/// A commit rule as mmada::remask_ takes it: tables of all that changes from step to step.
struct RemaskSchedule {
  std::string_view rule;            ///< "count", "threshold" or "maskgit"
  double threshold = 0.0;           ///< threshold
  std::vector<int32_t> counts;      ///< count, maskgit: one for each step
  std::vector<float> temperatures;  ///< maskgit: of the noise in each step; empty: no noise
};

/// Decides which proposals become tokens; the others stay MASK and are proposed anew at the next step.
class CommitRule {
 public:
  virtual ~CommitRule() = default;
  /// Ascending indices into the candidates.
  virtual std::vector<int64_t> commit(const CommitContext& context) const = 0;
  /// The same decisions as tables for the device (in fp32); none where they depend on more.
  virtual std::optional<RemaskSchedule> schedule(const OpenedRegion&) const { return {}; }
};

/// SPEC 5.1: n masked tokens over S steps, n/S each and one more in the first n mod S, the most confident
/// first.
class FixedCountRule : public CommitRule {
 public:
  std::vector<int64_t> commit(const CommitContext& context) const override;
  std::optional<RemaskSchedule> schedule(const OpenedRegion& region) const override;
};

/// Everything at least `threshold` sure, and the best proposal in any case ("low_confidence_dynamic").
class ThresholdRule : public CommitRule {
 public:
  explicit ThresholdRule(double threshold) : threshold_(threshold) {}
  std::vector<int64_t> commit(const CommitContext& context) const override;
  std::optional<RemaskSchedule> schedule(const OpenedRegion& region) const override;

 private:
  double threshold_;
};

struct MaskGitOptions {
  Schedule schedule = Schedule("cosine");
  double temperature = 1.0;              ///< T0 of the remask noise: log p + T * Gumbel
  bool compounding_temperature = false;  ///< the five below: see Compat
  bool schedule_counts_all_slots = false;
  bool single_precision_schedule = false;
  bool ties_survive_cut = false;
  c10::ScalarType score_dtype = c10::ScalarType::Double;  ///< scores and noise are rounded to it
};

/// SPEC 5.2: at r = (s+1)/S the k = max(1, min(unknown - 1, floor(base * schedule(r)))) lowest noisy
/// log-confidences go back to MASK; the last step commits everything.
class MaskGitRule : public CommitRule {
 public:
  explicit MaskGitRule(MaskGitOptions options) : options_(std::move(options)) {}
  std::vector<int64_t> commit(const CommitContext& context) const override;
  std::optional<RemaskSchedule> schedule(const OpenedRegion& region) const override;
  /// Noise temperature of a step: T0 (1 - r), or compounded.
  double temperature(int64_t step, int64_t steps) const;
  /// k before it is clamped: floor(base * schedule(r)).
  int64_t scheduled(int64_t step, int64_t steps, int64_t base) const;

 private:
  MaskGitOptions options_;
};

}  // namespace mmada
