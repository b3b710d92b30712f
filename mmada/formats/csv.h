// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mmada {

struct CsvRow {
  int64_t line = 0;  ///< where it begins, from 1
  std::vector<std::string> fields;
};

/// Comma-separated values as RFC 4180 has them: fields in double quotes may hold commas, line ends and quotes
/// written twice; lines end in LF or CRLF. A byte order mark is passed over, and so are empty lines. Quotes
/// inside a bare field, text behind a closing quote, a quote that never closes, text that is not UTF-8, and
/// rows whose number of fields differs from the first row's are errors that name `source` and the line.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source);

}  // namespace mmada
