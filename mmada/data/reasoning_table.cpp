// SPDX-License-Identifier: MIT
#include "mmada/data/reasoning_table.h"

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/csv.h"

namespace mmada {
namespace {

size_t column(const CsvRow& header, const std::string& name, const std::string& path) {
  const auto found = std::ranges::find(header.fields, name);
  MMADA_CHECK(found != header.fields.end(), path, ":", header.line, ": found no column ", quote(name),
              ", expected image, question and solution");
  return static_cast<size_t>(found - header.fields.begin());
}

}  // namespace

std::vector<ReasoningRow> read_reasoning_table(const std::string& path, TurnTerminator terminator) {
  const auto rows = parse_csv(read_file(path, 1u << 30), path);
  MMADA_CHECK(rows.size() > 1, path, ": found ", rows.size(), " rows, expected a header and rows");
  const size_t image = column(rows[0], "image", path), question = column(rows[0], "question", path),
               solution = column(rows[0], "solution", path);
  std::vector<ReasoningRow> table;
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto& row = rows[i].fields;
    table.push_back({rows[i].line, row[image], reasoning_text(row[question], row[solution], terminator)});
  }
  return table;
}

}  // namespace mmada
