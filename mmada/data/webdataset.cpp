// SPDX-License-Identifier: MIT
#include "mmada/data/webdataset.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <numeric>
#include <vector>

#include "mmada/core/rng.h"
#include "mmada/data/brace_expansion.h"
#include "mmada/data/captions.h"
#include "mmada/data/left_out.h"
#include "mmada/data/token_limit.h"
#include "mmada/data/webdataset_shard.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

struct Options {
  Options(Fields& fields, uint64_t seed) : rules(fields, seed), limit(fields) {
    text_key = fields.string("text_key", "prompt");
    person_tokens = fields.boolean("replace_person_tokens", true);
    shuffle = fields.boolean("shuffle", true);
    buffer = static_cast<size_t>(fields.integer("buffer", 1, 10'000'000, 1000));
    if (!shuffle) buffer = 1;
    skip_damaged = fields.choice("on_error", {"stop", "skip"}, "stop") == "skip";
    if (const std::string path = fields.string("captions", ""); !path.empty())
      captions = open_captions(path, rules, fields);
  }

  std::vector<std::string> shards;
  std::string text_key;
  CaptionRules rules;
  TokenLimit limit;
  std::optional<CaptionMap> captions;
  bool person_tokens, shuffle, skip_damaged;
  size_t buffer;
};

/// "data/shard-3.tar.gz" -> "shard-3"
std::string stem(const std::string& shard) {
  const std::string name = std::filesystem::path(shard).filename();
  return name.substr(0, name.rfind(name.ends_with(".gz") ? ".tar" : "."));
}

/// A complete sample that waits to be drawn, and where it came from in the epoch.
struct Entry {
  int64_t shard = 0;  ///< place in the epoch's order of shards
  int64_t sample = 0;
  std::string image, image_place;
  std::vector<std::string> texts;
};

class WebdatasetSource final : public SampleSource {
 public:
  WebdatasetSource(Options options, std::vector<std::string> shards, uint64_t seed)
      : options_(std::move(options)), shards_(std::move(shards)), seed_(seed) {
    for (const auto& shard : shards_) bytes_ += InputFile(shard).size();
    start_epoch(0);
  }

  Sample next() override {
    while (true) {
      const Drawn drawn = draw();
      try {
        if (auto sample = finish(*drawn.entry, drawn.number)) return std::move(*sample);
      } catch (const Error&) {  // to be met again, also by who restores the state
        buffer_.push_back(std::move(*drawn.entry));
        std::swap(buffer_[drawn.place], buffer_.back());
        drawn_ = drawn.number;
        throw;
      }
    }
  }

  PendingSample defer() override {
    return [this, drawn = draw()] { return finish(*drawn.entry, drawn.number); };
  }

  void skip(int64_t count) override {
    // Where damaged samples are left out, only decoding tells which they are.
    for (int64_t i = 0; i < count; ++i)
      options_.skip_damaged ? static_cast<void>(next()) : static_cast<void>(defer());
  }

  Json skipped() const override { return left_out_.json(); }

  Json state() const override {
    std::vector<int64_t> entries;
    for (const auto& entry : buffer_) entries.insert(entries.end(), {entry.shard, entry.sample});
    return {{"epoch", epoch_},   {"shard", shard_},          {"sample", sample_}, {"drawn", drawn_},
            {"buffer", entries}, {"shards", shards_.size()}, {"bytes", bytes_}};
  }

  void restore(const Json& state) override;

 private:
  std::string path_of(int64_t shard) const { return shards_[order_[shard]]; }

  void start_epoch(int64_t epoch) {
    epoch_ = epoch;
    shard_ = sample_ = 0;
    yielded_ = false;
    reader_.reset();
    buffer_.clear();
    const auto count = static_cast<int64_t>(shards_.size());
    if (options_.shuffle) {
      order_ = Rng(seed_, "webdataset/shards", static_cast<uint64_t>(epoch)).permutation(count);
    } else {
      order_.resize(shards_.size());
      std::iota(order_.begin(), order_.end(), 0);
    }
  }

  struct Drawn {
    std::shared_ptr<Entry> entry;
    size_t place;     ///< in the buffer, before
    uint64_t number;  ///< of the draw
  };
  Drawn draw() {
    if (failure_) std::rethrow_exception(failure_);
    try {
      refill();
    } catch (const Error&) {
      failure_ = std::current_exception();  // an archive cannot be gone on with: the same error from now on
      throw;
    }
    Rng rng(seed_, "webdataset/buffer", drawn_);
    const size_t place = buffer_.size() == 1 ? 0 : rng.below(buffer_.size());
    std::swap(buffer_[place], buffer_.back());
    Drawn drawn{std::make_shared<Entry>(std::move(buffer_.back())), place, drawn_++};
    buffer_.pop_back();
    return drawn;
  }

  /// Fills the buffer as far as the epoch's shards go; begins the next epoch where nothing is left.
  void refill() {
    while (true) {
      while (buffer_.size() < options_.buffer && read_one()) {
      }
      if (!buffer_.empty()) break;
      MMADA_CHECK(yielded_, shards_[0], shards_.size() > 1 ? cat(" and ", shards_.size() - 1, " more") : "",
                  ": found no sample with a picture and a text (left out: ", left_out_.json().dump(),
                  "), expected at least one");
      start_epoch(epoch_ + 1);
    }
    yielded_ = true;
  }

  /// Looks at one more sample; false at the epoch's end.
  bool read_one() {
    if (shard_ == static_cast<int64_t>(shards_.size())) return false;
    try {
      if (!reader_) reader_.emplace(path_of(shard_), options_.text_key);
      auto found = reader_->next();
      if (found) {
        if (auto entry = complete(std::move(*found), shard_)) buffer_.push_back(std::move(*entry));
        ++sample_;  // after it: a sample that fails is met again
        return true;
      }
    } catch (const Error&) {
      if (!options_.skip_damaged) throw;
      left_out_.count("damaged_shard");
    }
    reader_.reset();
    ++shard_;
    sample_ = 0;
    return true;
  }

  /// The entry of a sample with picture and text that fit, or nothing.
  std::optional<Entry> complete(ShardSample found, int64_t shard) {
    if (!found.damage.empty()) {
      if (!options_.skip_damaged) throw Error(found.damage);
      left_out_.count("damaged_sample");
      return std::nullopt;
    }
    Entry entry{shard, found.index, std::move(found.image), std::move(found.image_place), {}};
    if (options_.captions)
      entry.texts = options_.captions->find(found.key, stem(path_of(shard)));
    else if (found.text && !found.text->empty())
      entry.texts = {std::move(*found.text)};
    if (entry.image.empty())
      left_out_.count("without_image");
    else if (entry.texts.empty())
      left_out_.count("without_text");
    else if (!std::ranges::all_of(entry.texts, [&](const auto& text) { return options_.limit.fits(text); }))
      left_out_.count("long_text");
    else
      return entry;
    return std::nullopt;
  }

  /// Runs on any thread: reads options and counts, changes nothing else.
  std::optional<Sample> finish(const Entry& entry, uint64_t n) const {
    try {
      Sample sample{{}, decode_image(entry.image, entry.image_place)};
      auto texts = entry.texts;
      Rng rng(seed_, "webdataset/person", n);
      if (options_.person_tokens)
        for (auto& text : texts) text = replace_person_tokens(text, rng);
      sample.text = options_.rules.apply(texts, n);
      return sample;
    } catch (const Error&) {
      if (!options_.skip_damaged) throw;
      left_out_.count("damaged_sample");
      return std::nullopt;
    }
  }

  void reread(std::vector<Entry>& entries, int64_t open_shard, int64_t open_sample);

  Options options_;
  std::vector<std::string> shards_;
  uint64_t seed_;
  uint64_t bytes_ = 0;
  int64_t epoch_ = 0, shard_ = 0, sample_ = 0;
  uint64_t drawn_ = 0;
  bool yielded_ = false;  ///< whether this epoch had a sample
  std::vector<int64_t> order_;
  std::optional<ShardReader> reader_;
  std::vector<Entry> buffer_;
  std::exception_ptr failure_;
  mutable LeftOut left_out_;
};

void WebdatasetSource::restore(const Json& state) {
  const std::string place = shards_[0] + ": saved position";
  const auto count = static_cast<int64_t>(shards_.size());
  Fields fields(state, place);
  const int64_t epoch = fields.integer("epoch", 0, INT64_MAX);
  const int64_t shard = fields.integer("shard", 0, INT64_MAX);
  const int64_t sample = fields.integer("sample", 0, INT64_MAX);
  const int64_t drawn = fields.integer("drawn", 0, INT64_MAX);
  const auto numbers = fields.integers("buffer", 0, INT64_MAX);
  const int64_t shards = fields.integer("shards", 0, INT64_MAX);
  const int64_t bytes = fields.integer("bytes", 0, INT64_MAX);
  fields.finish();
  MMADA_CHECK(shards == count && static_cast<uint64_t>(bytes) == bytes_, place, ": found ", count,
              " shards of ", bytes_, " bytes, expected the ", shards, " of ", bytes,
              " bytes that it was saved for");
  std::vector<Entry> entries(numbers.size() / 2);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i].shard = numbers[2 * i];
    entries[i].sample = numbers[2 * i + 1];
    if (entries[i].shard > shard || entries[i].shard >= count)
      fields.fail("buffer", cat("shard ", entries[i].shard), cat("shards up to ", shard));
  }
  if (shard > count || numbers.size() % 2 != 0 || (shard == count && sample != 0))
    fields.fail("buffer", cat(numbers.size(), " numbers, at shard ", shard),
                cat("pairs, at shard 0 to ", count));
  failure_ = nullptr;
  start_epoch(epoch);
  reread(entries, shard, sample);
  shard_ = shard;
  sample_ = sample;
  drawn_ = static_cast<uint64_t>(drawn);
  yielded_ = drawn > 0;
  buffer_ = std::move(entries);
}

/// Fills in entries of which only shard and sample number are known, and leaves reader_ behind `open_sample`
/// samples of `open_shard`.
void WebdatasetSource::reread(std::vector<Entry>& entries, int64_t open_shard, int64_t open_sample) {
  std::map<int64_t, std::map<int64_t, Entry*>> wanted;
  for (auto& entry : entries) wanted[entry.shard][entry.sample] = &entry;
  if (open_sample > 0) wanted[open_shard];
  for (auto& [shard, samples] : wanted) {
    ShardReader reader(path_of(shard), options_.text_key);
    const int64_t end = shard == open_shard ? open_sample : samples.rbegin()->first + 1;
    for (int64_t i = 0; i < end; ++i) {
      const auto place = samples.find(i);
      auto found = reader.next(place != samples.end());
      MMADA_CHECK(found, path_of(shard), ": found ", i, " samples, expected the ", end,
                  " of the saved position: the shard changed");
      if (place == samples.end()) continue;
      auto entry = complete(std::move(*found), shard);
      MMADA_CHECK(entry, path_of(shard), ": found sample ", i,
                  " without picture or text, expected both as when the position was saved");
      *place->second = std::move(*entry);
    }
    if (shard == open_shard) reader_.emplace(std::move(reader));
  }
}

}  // namespace

std::unique_ptr<SampleSource> make_webdataset_source(const Json& options, const std::string& source_name,
                                                     uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  auto shards = expand_paths(fields, "path", source_name, {".tar", ".tgz", ".tar.gz"});
  Options parsed(fields, seed);
  fields.finish();
  return std::make_unique<WebdatasetSource>(std::move(parsed), std::move(shards), seed);
}

}  // namespace mmada
