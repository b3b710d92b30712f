// SPDX-License-Identifier: MIT
// Shape suffix: N rows of logits.
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"
#include "kernels/select/row_state.h"

namespace mmada::kernels {

/// One pass over logits [rows, columns], or over a chunk of the vocabulary of them: every row's states, to be
/// merged by select_finish. A head whose logits never exist as a whole calls this once per chunk.
///
/// The choice is the largest logit + temperature * Gumbel noise, the lowest id among equals; the noise bits
/// depend on (token key, stream, step, position, vocabulary id) alone. Keys are read where the kernel runs,
/// so that steps captured in a CUDA graph can be replayed under another seed.
struct SelectStatisticsParams {
  const void* logits = nullptr;
  /// Guidance: the unconditional logits, laid out like logits; null: none. In fp32:
  /// uncond + (1 + guidance) (logits - uncond), or (1 + guidance) logits - guidance uncond.
  const void* uncond = nullptr;
  float guidance = 0;
  bool difference_form = true;  ///< the first of the two formulas
  FloatType type = FloatType::kF32;
  int64_t rows = 0, columns = 0, row_stride = 0;
  int32_t first_id = 0;                   ///< vocabulary id of column 0
  const uint32_t* banned_bits = nullptr;  ///< bit id % 32 of word id / 32: counts as -inf; null: none
  float temperature = 0;                  ///< 0: the largest logit
  const uint64_t* token_key =
      nullptr;  ///< one number, of the noise; read where there is noise, with the rest
  const uint32_t* positions_N = nullptr;
  const uint32_t* steps_N = nullptr;
  const uint32_t* streams_N = nullptr;
  SelectState* states = nullptr;  ///< [rows, slots]; written: [first_slot, first_slot + select_slots())
  int64_t slots = 0, first_slot = 0;
};

enum class SelectConfidence { kProbability, kMargin, kNegEntropy, kRandom };

struct SelectFinishParams {
  const SelectState* states = nullptr;  ///< [rows, slots], merged in order
  int64_t rows = 0, slots = 0;
  SelectConfidence confidence = SelectConfidence::kProbability;
  const uint64_t* random_key = nullptr;   ///< kRandom: key of one uniform number per row
  const uint32_t* positions_N = nullptr;  ///< for kRandom
  const uint32_t* steps_N = nullptr;
  const uint32_t* streams_N = nullptr;
  int32_t* ids_N = nullptr;       ///< INT32_MAX where a row has nothing but -inf or NaN
  float* confidence_N = nullptr;  ///< NaN there
  float* logsumexp_N = nullptr;   ///< null: not wanted
};

/// Merges the row's states and writes its answers: the same on every device.
MMADA_HOST_DEVICE inline void finish_row(const SelectFinishParams& p, int64_t n) {
  SelectState s;
  for (int64_t k = 0; k < p.slots; ++k) s = merge(s, p.states[n * p.slots + k]);
  const bool valid = s.sum > 0.0f && s.id != INT32_MAX;  // false for NaN
  p.ids_N[n] = valid ? s.id : INT32_MAX;
  if (p.logsumexp_N != nullptr) p.logsumexp_N[n] = s.largest + logf(s.sum);
  float confidence = vector_exp(s.logit - s.largest) / s.sum;
  if (p.confidence == SelectConfidence::kMargin)
    confidence = (1.0f - (s.second == -INFINITY ? 0.0f : vector_exp(s.second - s.largest))) / s.sum;
  if (p.confidence == SelectConfidence::kNegEntropy) confidence = s.weighted / s.sum - logf(s.sum);
  if (p.confidence == SelectConfidence::kRandom) {
    uint32_t bits[4];
    noise_block({*p.random_key, p.positions_N[n], p.steps_N[n], p.streams_N[n]}, 0, bits);
    confidence = open_unit_float(bits[0]);
  }
  p.confidence_N[n] = valid ? confidence : NAN;
}

/// Whether rows whose noise is asked for have a key, positions, counters and streams.
template <class Params>
bool noise_is_complete(const Params& p, bool noisy, const uint64_t* key) {
  return !noisy || p.rows == 0 ||
         (key != nullptr && p.positions_N != nullptr && p.steps_N != nullptr && p.streams_N != nullptr);
}

/// CPU: fp32 and bf16; one state per row and call. Rows are spread over the context's threads.
[[nodiscard]] Status select_statistics(const SelectStatisticsParams& params, const Context& context);
[[nodiscard]] Status select_finish(const SelectFinishParams& params, const Context& context);
/// CUDA: states per row that one call writes, more than 1 where the rows alone would not fill a GPU.
int64_t select_slots(const SelectStatisticsParams& params);
/// CUDA: fp32, bf16 and fp16. Reads every logit once.
[[nodiscard]] Status select_statistics_cuda(const SelectStatisticsParams& params, const Context& context);
[[nodiscard]] Status select_finish_cuda(const SelectFinishParams& params, const Context& context);
/// The oracle of both for fp32 logits in one chunk: fp64 statistics and noise. scores_N: the best score.
void select_ref(const SelectStatisticsParams& params, const SelectFinishParams& finish, double* scores_N);

}  // namespace mmada::kernels
