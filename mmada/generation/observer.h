// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "mmada/core/types.h"
#include "mmada/model/work.h"

namespace mmada {

/// One step of one row, just after its commits. Everything lives until the observer returns.
struct StepEvent {
  int64_t row = 0;    ///< as numbered by Denoiser::add
  int64_t step = 0;   ///< of the row, from 0
  int64_t steps = 0;  ///< planned for the row; early stops take fewer
  int64_t region = 0;
  const TokenIds& ids;                  ///< the row now
  std::span<const int64_t> committed;   ///< positions that became tokens in this step, ascending
  std::span<const int64_t> candidates;  ///< positions that were proposed for, ascending
  std::span<const int64_t> proposals;   ///< the token proposed at each candidate
  std::span<const double> confidence;   ///< of each proposal
};

/// Where a row stands, without its tokens.
struct StepProgress {
  int64_t row = 0;
  int64_t step = 0;   ///< of the row, from 0
  int64_t steps = 0;  ///< planned for the row; early stops take fewer
};

/// Sees every step: progress bars, pictures of the denoising, traces for reinforcement learning.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Whether on_step is to be called. On a GPU the rows then come to the host after every step; else the host
  /// only issues steps and never waits for one.
  virtual bool wants_tokens() const { return true; }
  virtual void on_step(const StepEvent&) {}
  /// Every step of every row, once it is issued.
  virtual void on_progress(const StepProgress&) {}
  /// A forward pass of some rows, head included.
  virtual void on_forward(const Work&) {}
};

}  // namespace mmada
