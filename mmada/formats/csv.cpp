// SPDX-License-Identifier: MIT
#include "mmada/formats/csv.h"

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  std::vector<CsvRow> run() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      if (skip_line_end()) continue;  // an empty line
      CsvRow row{.line = line_, .fields = {}};
      do row.fields.push_back(peek('"') ? quoted() : bare());
      while (skip_comma());
      MMADA_CHECK(at_ == text_.size() || skip_line_end(), source_, ":", line_, ": found ",
                  quote(text_.substr(at_, 1)),
                  " behind a field in quotes, expected a comma or the line's end");
      MMADA_CHECK(rows.empty() || row.fields.size() == rows[0].fields.size(), source_, ":", row.line,
                  ": found ", row.fields.size(), " fields, expected the first row's ", rows[0].fields.size());
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  bool peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool skip_comma() {
    if (!peek(',')) return false;
    ++at_;
    return true;
  }
  bool skip_line_end() {
    const size_t length = text_.substr(at_).starts_with("\r\n") ? 2 : peek('\n') ? 1 : 0;
    at_ += length;
    line_ += length > 0;
    return length > 0;
  }

  std::string bare() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' &&
           !text_.substr(at_).starts_with("\r\n")) {
      MMADA_CHECK(text_[at_] != '"', source_, ":", line_,
                  ": found a quote inside a field, expected it doubled and the field in quotes");
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    const int64_t opened = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        if (!peek('"')) return field;
      }
      line_ += text_[at_] == '\n';
      field += text_[at_];
    }
    throw Error(cat(source_, ":", opened, ": found a quote that never closes"));
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source) {
  MMADA_CHECK(is_utf8(text), source, ": found bytes that are not UTF-8, expected comma-separated text");
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return CsvParser(text, source).run();
}

}  // namespace mmada
