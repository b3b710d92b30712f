// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "mmada/core/json.h"
#include "mmada/formats/image_file.h"

namespace mmada {

enum class Fit;  // vision/transforms.h

/// One training example before tokenisation, or a prompt for reinforcement learning.
struct Sample {
  std::string text;  ///< t2i: the caption; lm: the document; lm_chat, mmu, r2i: the formatted conversation;
                     ///< of a prompt: the caption, or the user's words alone
  Image image;       ///< t2i, mmu, r2i; of a prompt: what is asked about
  std::optional<Fit> fit = std::nullopt;  ///< of the picture, where its source says one; none: the data set's
  std::string answer = {};                ///< of a prompt: what its rewards compare with; empty: nothing
  Json metadata = nullptr;  ///< of a prompt: what else its rewards want to know; an object or null
};

/// A sample still to be read and decoded. It may be called on another thread, together with others of its
/// source, and at most once; it holds what it needs of the source, which has to outlive it. Nothing where the
/// sample is passed over (damaged, under "on_error": "skip").
using PendingSample = std::function<std::optional<Sample>()>;

/// An endless, deterministic stream of samples whose position can be saved and restored exactly.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual Sample next() = 0;
  /// Passes over samples that another process makes. Sources that know their order read nothing for it.
  virtual void skip(int64_t count) {
    for (int64_t i = 0; i < count; ++i) next();
  }
  /// Passes over the next sample at once and gives the work of making it. An error of the sample itself comes
  /// out of that work, an error of the source out of this call.
  virtual PendingSample defer() {
    return [sample = next()] { return sample; };
  }
  /// What was left out since the source was opened, by reason: {"without_image": 3}. Empty for most sources.
  virtual Json skipped() const { return Json::object(); }
  virtual Json state() const = 0;
  virtual void restore(const Json& state) = 0;
};

}  // namespace mmada
