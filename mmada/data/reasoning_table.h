// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/text/chat.h"

namespace mmada {

/// A question about a picture with its reasoning and answer.
struct ReasoningRow {
  int64_t line = 0;   ///< of the file, where it begins
  std::string image;  ///< as the table names it
  std::string text;   ///< reasoning_text
};

/// The rows of a CSV file with the columns image, question and solution (SPEC 6.6; others are passed over),
/// at least one. At most 1 GiB.
std::vector<ReasoningRow> read_reasoning_table(const std::string& path, TurnTerminator terminator);

}  // namespace mmada
