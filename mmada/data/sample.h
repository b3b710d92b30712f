// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "mmada/core/json.h"
#include "mmada/formats/image_file.h"

namespace mmada {

/// One training example before tokenisation.
struct Sample {
  std::string text;  ///< t2i: the caption; lm: the document; lm_chat, mmu, r2i: the formatted conversation
  Image image;       ///< t2i, mmu, r2i
};

/// An endless, deterministic stream of samples whose position can be saved and restored exactly.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual Sample next() = 0;
  /// Passes over samples that another process makes. Sources that know their order read nothing for it.
  virtual void skip(int64_t count) {
    for (int64_t i = 0; i < count; ++i) next();
  }
  virtual Json state() const = 0;
  virtual void restore(const Json& state) = 0;
};

}  // namespace mmada
