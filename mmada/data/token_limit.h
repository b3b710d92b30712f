// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "mmada/core/json.h"
#include "mmada/text/tokenizer.h"

namespace mmada {

/// How many tokens a sample's text may have; longer ones are left out and counted as "long_text". Options
/// "tokenizer" (a path as load_tokenizer takes it) and "max_tokens", both or neither.
class TokenLimit {
 public:
  explicit TokenLimit(Fields& fields);
  /// Whether the text has at most max_tokens tokens; always where no limit was given.
  bool fits(std::string_view text) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  int64_t max_tokens_ = 0;
};

}  // namespace mmada
