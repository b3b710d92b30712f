// SPDX-License-Identifier: MIT
#include "mmada/data/token_limit.h"

namespace mmada {

TokenLimit::TokenLimit(Fields& fields) {
  const std::string path = fields.string("tokenizer", "");
  max_tokens_ = fields.integer("max_tokens", 1, INT64_MAX, 0);
  if (path.empty() != (max_tokens_ == 0))
    fields.fail(path.empty() ? "tokenizer" : "max_tokens", "nothing",
                "both `tokenizer` and `max_tokens`, or neither");
  if (!path.empty()) tokenizer_ = load_tokenizer(path);
}

bool TokenLimit::fits(std::string_view text) const {
  return !tokenizer_ || static_cast<int64_t>(tokenizer_->encode(text).size()) <= max_tokens_;
}

}  // namespace mmada
