// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>
#include <string>

#include "mmada/core/json.h"

namespace mmada {

/// The task "text_tokenizer": trains a byte-level BPE vocabulary on the texts of sources and writes
/// OUTPUT_DIR/tokenizer.json, whose path it returns.
///   "tokenizer": {"vocab_size", "special_tokens", "added_tokens", "individual_digits", "min_frequency"}
///   "dataset": {"texts": [{"samples": 20000, "source": {"type": ...}}, ...]}
/// Special tokens default to the published ones (SPEC 3.1), added tokens to <think> and </think>.
std::string train_text_tokenizer(Fields& fields, const Json& config, std::ostream* log);

}  // namespace mmada
