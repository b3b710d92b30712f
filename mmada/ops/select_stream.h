// SPDX-License-Identifier: MIT
// Shape suffixes: N rows, C columns of a chunk of the vocabulary, W columns of its window.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <vector>

#include "mmada/ops/select.h"
#include "mmada/ops/select_states.h"

namespace mmada {

/// Classifier-free guidance: how a row's conditional logits c and its twin's unconditional ones u mix.
struct GuidanceMix {
  double scale = 0.0;
  bool difference_form =
      true;  ///< u + (1 + scale) (c - u) (SPEC 5.1), else (1 + scale) c - scale u (SPEC 5.2)
  bool operator==(const GuidanceMix&) const = default;
};
at::Tensor mix_logits(const GuidanceMix& guidance, const at::Tensor& conditional_NW,
                      const at::Tensor& unconditional_NW);

/// int32 [3, N]: positions, step counters and streams, what the noise of each row is keyed by.
at::Tensor noise_rows(const SelectParams& params);

/// Keys of a seed's random streams in a step, on a device. Steps read their values when they run: a new value
/// in place is a new seed, for steps captured in a CUDA graph too.
struct NoiseKeys {
  /// Writes another seed's keys.
  void set(uint64_t seed);

  at::Tensor token, random_confidence, remask;  ///< int64 [1]
};
NoiseKeys noise_keys(uint64_t seed, at::Device device);

/// Hidden rows that share a pass over the head: 16 MiB of fp32 logits.
inline constexpr int64_t kPassRows = 2048;

/// The choice of a step for rows under the same settings, on the rows' device: what the settings mean lies in
/// tensors made once, and a step is ops that wait for nothing. params.positions and params.noise are not
/// read: the rows' noise is in noise_3N and keys.
///
/// The vocabulary passes in chunks, each folded into a few numbers per row (mmada::select_statistics). Ids
/// never confident are chosen from a first pass over a chunk and left out of the softmax of a second.
class SelectStream {
 public:
  SelectStream(const SelectParams& params, std::optional<GuidanceMix> guidance, int64_t rows,
               at::Tensor noise_3N, NoiseKeys keys, at::Device device);

  int64_t rows() const { return rows_; }
  int64_t hidden_rows() const { return rows_ * (guidance_ ? 2 : 1); }
  /// Whether top-k or top-p ask for whole rows of logits; without noise the best id stays the best.
  bool filters() const { return params_.temperature > 0 && (params_.top_k > 0 || params_.top_p < 1.0); }
  /// What the rows' noise is keyed by; the step counters may be changed in place.
  const std::optional<at::Tensor>& noise() const { return noise_3N_; }

  /// Logits of the rows and behind them, where guided, of their twins; column 0 is the vocabulary id
  /// first_id.
  void add(const at::Tensor& logits_NC, int64_t first_id);
  /// Whole rows of the window, some at a time, cut down by top-k and top-p for the choice.
  void add_whole(const at::Tensor& hidden_ND, const at::Tensor& head_WD);
  /// Joins what was added and forgets it.
  SelectAnswers answers();

 private:
  /// States of one pass over a chunk, or of one for the choice and one for what the softmax counts.
  at::Tensor states_of(const at::Tensor& choice_NC, const at::Tensor& counted_NC,
                       const std::optional<at::Tensor>& uncond_NC, const std::optional<at::Tensor>& noise_3N,
                       int64_t first_id) const;

  SelectParams params_;  ///< its spans are empty
  std::optional<GuidanceMix> guidance_;
  int64_t rows_;
  std::optional<at::Tensor> noise_3N_;  ///< none without noise
  NoiseKeys keys_;
  std::optional<at::Tensor> banned_;          ///< int64 columns
  std::optional<at::Tensor> banned_bits_;     ///< ids that cannot be chosen
  std::optional<at::Tensor> never_;           ///< int32 ids never confident
  std::optional<at::Tensor> uncounted_bits_;  ///< the two together: ids outside the softmax
  std::vector<at::Tensor> states_;
};

/// Passes the window's rows of the head, head_WD, by hidden states [sum of hidden_rows(), D] of the streams,
/// which share the window. At most 16 MiB of logits at a time up to 2048 hidden rows, and 64 whole rows for a
/// stream that filters.
void stream_head(const at::Tensor& hidden_ND, const at::Tensor& head_WD, Window window,
                 std::span<SelectStream> streams);

/// Logits with -inf in place of what top-k and top-p leave out; ties go to the lower id. top_p counts
/// probabilities at this temperature (1 where it is 0) among the top_k, and at least one id stays.
at::Tensor keep_best(const at::Tensor& logits_NW, int64_t top_k, double top_p, double temperature);

}  // namespace mmada
