// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/rewards/plugin_abi.h"

/// A reward plugin in C++17, of this header and plugin_abi.h alone:
///
///     class Brevity : public mmada::plugin::Reward {
///      public:
///       explicit Brevity(std::string_view config) {}
///       mmada::plugin::Scores score(const std::vector<mmada::plugin::Sample>& samples) override;
///     };
///     MMADA_REWARD_PLUGIN(Brevity)
///
/// Exceptions become messages: one in the constructor keeps the worker from starting, one in score fails the
/// batch.
namespace mmada::plugin {

/// 8-bit RGB, interleaved, row-major.
struct Picture {
  const uint8_t* rgb;
  uint32_t width, height;
};

/// The fields of RewardSample (mmada/rewards/reward.h), for as long as score runs.
struct Sample {
  std::string_view task, prompt, response, answer;
  std::string_view metadata;       ///< a JSON object
  std::optional<Picture> picture;  ///< what was drawn
};

/// One number per sample, in order, finite; none where the reward has no opinion.
using Scores = std::vector<std::optional<double>>;

/// Its subclasses have a constructor of one std::string_view: the plugin's "config", a JSON object.
class Reward {
 public:
  virtual ~Reward() = default;
  virtual Scores score(const std::vector<Sample>& samples) = 0;
};

namespace detail {

inline std::string_view view(mmada_reward_text text) { return {text.data, text.size}; }

inline void say(mmada_reward_error* error, const char* message) {
  if (error->size == 0) return;
  std::strncpy(error->text, message, error->size - 1);
  error->text[error->size - 1] = '\0';
}

/// Runs it; false, with a message, where it throws.
template <class Call>
bool run(mmada_reward_error* error, const Call& call) {
  try {
    call();
    return true;
  } catch (const std::exception& exception) {
    say(error, exception.what());
  } catch (...) {
    say(error, "it threw what is no std::exception");
  }
  return false;
}

inline std::vector<Sample> samples_of(const mmada_reward_batch& batch) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < batch.count; ++i) {
    const mmada_reward_sample& sample = *batch.samples[i];
    samples.push_back({view(sample.task), view(sample.prompt), view(sample.response), view(sample.answer),
                       view(sample.metadata), std::nullopt});
    if (sample.image.rgb != nullptr)
      samples.back().picture = Picture{sample.image.rgb, sample.image.width, sample.image.height};
  }
  return samples;
}

inline void answer(const Scores& found, mmada_reward_scores* scores) {
  if (found.size() != scores->count)
    throw std::runtime_error("found " + std::to_string(found.size()) + " scores, expected " +
                             std::to_string(scores->count));
  for (size_t i = 0; i < found.size(); ++i) {
    scores->values[i] = found[i].value_or(0.0);
    scores->verdicts[i] = found[i] ? MMADA_REWARD_SCORED : MMADA_REWARD_ABSTAINS;
  }
}

template <class Type>
const mmada_reward_plugin* table() {
  static const mmada_reward_plugin plugin = {
      sizeof(mmada_reward_plugin), MMADA_REWARD_ABI_VERSION,
      [](mmada_reward_text config, mmada_reward_error* error) -> void* {
        std::unique_ptr<Reward> reward;
        run(error, [&] { reward = std::make_unique<Type>(view(config)); });
        return reward.release();
      },
      [](void* reward, const mmada_reward_batch* batch, mmada_reward_scores* scores,
         mmada_reward_error* error) -> int {
        const auto judge = [&] { answer(static_cast<Reward*>(reward)->score(samples_of(*batch)), scores); };
        return run(error, judge) ? 0 : 1;
      },
      [](void* reward) { delete static_cast<Reward*>(reward); }};
  return &plugin;
}

}  // namespace detail
}  // namespace mmada::plugin

/// Makes a library the plugin that this subclass of mmada::plugin::Reward is.
#define MMADA_REWARD_PLUGIN(Type)                                     \
  extern "C" const mmada_reward_plugin* mmada_reward_plugin_table() { \
    return mmada::plugin::detail::table<Type>();                      \
  }                                                                   \
  static_assert(true, "for the semicolon")
