// SPDX-License-Identifier: MIT
#include "mmada/data/parquet.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <numeric>

#include "mmada/core/quote.h"
#include "mmada/data/brace_expansion.h"
#include "mmada/data/left_out.h"
#include "mmada/data/parquet_column.h"
#include "mmada/data/records.h"
#include "mmada/data/token_limit.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

using Rows = std::shared_ptr<const std::vector<std::string>>;

struct Options {
  explicit Options(Fields& fields) : limit(fields) {
    column = fields.string("content", "content");
    document = fields.choice("format", {"document", "chat"}, "document") == "document";
    characters = fields.integer("max_characters", 1, INT64_MAX, 8000);
    limited = fields.has("max_tokens");
  }
  TokenLimit limit;
  std::string column;
  bool document, limited;
  int64_t characters;
};

class ParquetRecords final : public Records {
 public:
  ParquetRecords(std::vector<std::string> paths, Options options, uint64_t seed)
      : paths_(std::move(paths)), options_(std::move(options)), seed_(seed) {
    for (size_t i = 0; i < paths_.size(); ++i) {
      files_.push_back(open_parquet(paths_[i], options_.column));
      bytes_ += static_cast<int64_t>(InputFile(paths_[i]).size());
      const auto groups = files_.back()->row_groups();
      for (size_t group = 0; group < groups.size(); ++group) {
        groups_.push_back({i, static_cast<int64_t>(group), rows_});
        rows_ += groups[group];
        sizes_.push_back(groups[group]);
      }
    }
  }

  std::vector<int64_t> blocks() const override { return sizes_; }
  Json extent() const override {
    return {{"rows", rows_}, {"row_groups", groups_.size()}, {"bytes", bytes_}};
  }
  std::string name() const override { return paths_[0]; }
  Json skipped() const override { return left_out_.json(); }
  bool leaves_out() const override { return options_.limited; }

  std::optional<Sample> read(int64_t record, uint64_t n) const override {
    const auto after = std::ranges::upper_bound(groups_, record, {}, &Group::first_row);
    const auto number = static_cast<size_t>(after - groups_.begin()) - 1;
    const Group& group = groups_[number];
    const std::string& content = (*rows_of(number))[record - group.first_row];
    MMADA_CHECK(is_utf8(content), paths_[group.file], ": row group ", group.number, ", row ",
                record - group.first_row, ": found bytes that are not UTF-8, expected text");
    Rng rng(seed_, "parquet/crop", n);
    std::string text = options_.document ? document_text(content, options_.characters, rng) : content;
    if (options_.limit.fits(text)) return Sample{std::move(text), {}};
    left_out_.count("long_text");
    return std::nullopt;
  }

 private:
  struct Group {
    size_t file;
    int64_t number;     ///< within the file
    int64_t first_row;  ///< counted through all files
  };

  Rows rows_of(size_t number) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [held, rows] : held_)
      if (rows && held == number) return rows;
    const Group& group = groups_[number];
    auto rows = std::make_shared<const std::vector<std::string>>(files_[group.file]->read(group.number));
    held_[next_held_] = {number, rows};
    next_held_ = 1 - next_held_;
    return rows;
  }

  std::vector<std::string> paths_;
  Options options_;
  uint64_t seed_;
  std::vector<std::unique_ptr<ParquetColumn>> files_;
  std::vector<Group> groups_;
  std::vector<int64_t> sizes_;
  int64_t rows_ = 0, bytes_ = 0;
  mutable LeftOut left_out_;
  mutable std::mutex mutex_;
  /// Two, because samples that are read ahead may lie beyond a row group's end.
  mutable std::array<std::pair<size_t, Rows>, 2> held_;
  mutable size_t next_held_ = 0;
};

}  // namespace

std::string document_text(const std::string& document, int64_t characters, Rng& rng) {
  std::string text = document;
  std::erase(text, '\n');
  const auto begins = [](char c) { return (c & 0xC0) != 0x80; };
  const int64_t total = std::ranges::count_if(text, begins);
  if (total <= characters) return text;
  const auto skipped = static_cast<int64_t>(rng.below(static_cast<uint64_t>(total - characters + 1)));
  const auto place = [&](int64_t character) {  // where the character begins
    size_t at = 0;
    for (int64_t seen = -1; at < text.size(); ++at)
      if (begins(text[at]) && ++seen == character) break;
    return at;
  };
  const size_t begin = place(skipped);
  return text.substr(begin, place(skipped + characters) - begin);
}

std::unique_ptr<SampleSource> make_parquet_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  auto paths = expand_paths(fields, "path", source_name, {".parquet"});
  Options parsed(fields);
  const bool shuffle = fields.boolean("shuffle", true);
  fields.finish();
  return make_records_source(std::make_unique<ParquetRecords>(std::move(paths), std::move(parsed), seed),
                             shuffle, "parquet", seed);
}

}  // namespace mmada
