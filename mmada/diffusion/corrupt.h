// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/core/rng.h"
#include "mmada/diffusion/layouts.h"
#include "mmada/diffusion/schedule.h"

namespace mmada {

/// How image slots are masked (SPEC 6.1, t2i).
struct ImageNoise {
  Schedule schedule{"cosine"};
  double time_exponent = 1.0;           ///< the schedule sees t^exponent; below 1 favours many masks
  double min_masking_rate = 0.0;        ///< floor of the masked share
  double contiguous_probability = 0.0;  ///< share of rows that mask one rectangle instead of a random subset
  int64_t grid_columns = 0;             ///< columns of the token grid, for rectangles; 0: a square grid
  bool predict_all_tokens = false;      ///< the loss covers the visible image slots too
};

/// How text is masked (SPEC 6.1): each position with probability p = (1 - floor) t + floor.
struct TextNoise {
  double floor = 1e-3;
};

/// A row with MASK in place of what is to be predicted.
struct NoisedRow {
  TokenIds ids;                         ///< the network's input
  TokenIds clean;                       ///< the laid-out row
  std::vector<int64_t> predicted = {};  ///< positions the loss covers, ascending
  double mask_probability = 0.0;        ///< p of text rows; the masked share of the slots of image rows
  int64_t answer_length = 0;            ///< positions that are not prompt
  Span valid = {};
  Span image = {};
};

/// Masks exactly max(1, round_half_even(N * ratio)) of a t2i row's N image slots, ratio = schedule(t).
NoisedRow noise_image_row(const TokenLayout& layout, const Row& row, const ImageNoise& noise, double t,
                          Rng& rng);
/// Masks a row's non-prompt positions independently with probability p.
NoisedRow noise_text_row(const TokenLayout& layout, const Row& row, const TextNoise& noise, double t,
                         Rng& rng);

/// Times t in [0, 1) of a step's rows, a pure function of its arguments, so that processes may draw any row
/// alone. Stratified: one t in each of `rows` equal intervals, in random order.
std::vector<double> draw_times(uint64_t seed, const std::string& flow, int64_t step, int64_t rows,
                               bool stratified);
/// The stream of one row's masks (or of another per-row `purpose`): a pure function of its arguments; row <
/// 2^20.
Rng row_stream(uint64_t seed, const std::string& purpose, const std::string& flow, int64_t step, int64_t row);

}  // namespace mmada
