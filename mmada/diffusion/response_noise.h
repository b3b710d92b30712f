// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mmada {

/// How much of a response each of an outer step's inner updates masks (SPEC 7.1).
enum class NoiseSpacing {
  kFormula,  ///< t_n = floor((n - 1) / (mu - 1) (T - t_1) + t_1): the last update masks everything
  kExample,  ///< t_n = t_1 + (n - 1) floor(T / mu), at most T: the spacing of the paper's worked example
  kRandom,   ///< every t_n drawn alone, as the paper's ablation
  kFixed     ///< every t_n the same share, as diffu-GRPO's one pass (1: all masked)
};
NoiseSpacing noise_spacing_from_name(std::string_view name);  ///< "formula", "example", "random", "fixed"

struct NoiseLevels {
  NoiseSpacing spacing = NoiseSpacing::kFormula;
  int64_t updates = 4;       ///< mu
  int64_t timesteps = 1000;  ///< T
  double fixed_share = 1.0;  ///< kFixed, in (0, 1]
};
/// t_1 ... t_mu of formula and example from t_1 in [0, T); T where t would pass it.
std::vector<int64_t> noise_times(const NoiseLevels& levels, int64_t first);
/// Shares in (0, 1] of the response that update 1 ... mu masks: a pure function of its arguments. t_1 is
/// drawn for each response of each outer step.
std::vector<double> noise_shares(const NoiseLevels& levels, uint64_t seed, int64_t outer_step,
                                 int64_t response);

/// How a response's tokens are divided into what is masked and what of that has a loss (SPEC 7.1 and 7.3).
enum class ResponseNoise {
  kStructured,  ///< each token with the update's share; UniGRPO
  kCoupled,     ///< the same and its complement: every token has a loss in one of two rows
  kTrace        ///< along the rollout: tokens in groups of the steps at which they were committed; TraceRL
};
ResponseNoise response_noise_from_name(std::string_view name);  ///< "structured", "coupled", "trace"

/// One noisy copy of a response: indices into it, ascending.
struct MaskedResponse {
  std::vector<int64_t> masked;  ///< MASK in the network's input
  std::vector<int64_t> scored;  ///< of these, what has a loss
};

/// What one update noises of one response. Structured: at least one token is masked. Trace: `commit_steps`
/// are the steps at which the rollout committed each token; unique steps in order, `shrink` of them together,
/// are groups g, of which copy g masks every token from g on and scores those of g; groups without end are
/// never empty. The masks are a pure function of (seed, outer step, response, update), so that nobody stores
/// them.
struct ResponseNoiseOptions {
  ResponseNoise kind = ResponseNoise::kStructured;
  int64_t shrink = 1;  ///< trace
};
struct ResponsePlace {
  uint64_t seed = 0;
  int64_t outer_step = 0, response = 0;  ///< the response's number among all of the outer step's; < 2^20
  int64_t update = 0;                    ///< from 0
};
std::vector<MaskedResponse> mask_response(const ResponseNoiseOptions& options, int64_t tokens, double share,
                                          std::span<const int32_t> commit_steps, const ResponsePlace& place);

}  // namespace mmada
