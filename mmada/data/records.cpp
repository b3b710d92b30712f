// SPDX-License-Identifier: MIT
#include "mmada/data/records.h"

#include <algorithm>
#include <numeric>

#include "mmada/core/rng.h"

namespace mmada {
namespace {

class RecordsSource final : public SampleSource {
 public:
  RecordsSource(std::unique_ptr<Records> records, bool shuffle, std::string stream, uint64_t seed)
      : records_(std::move(records)),
        shuffle_(shuffle),
        stream_(std::move(stream)),
        seed_(seed),
        sizes_(records_->blocks()),
        size_(std::accumulate(sizes_.begin(), sizes_.end(), int64_t{0})) {
    MMADA_CHECK(size_ > 0, records_->name(), ": found no record, expected at least one");
    first_.resize(sizes_.size());
    std::exclusive_scan(sizes_.begin(), sizes_.end(), first_.begin(), int64_t{0});
  }

  Sample next() override {
    while (true) {
      const Place place = here();
      auto sample = records_->read(place.record, place.n);
      advance(1);  // after reading: a record that fails is met again
      if (sample) return std::move(*sample);
    }
  }

  PendingSample defer() override {
    const Place place = here();
    advance(1);
    return [this, place] { return records_->read(place.record, place.n); };
  }

  void skip(int64_t count) override {
    if (!records_->leaves_out()) return advance(count);
    for (int64_t i = 0; i < count; ++i) next();
  }

  Json skipped() const override { return records_->skipped(); }

  Json state() const override {
    Json state = {{"epoch", epoch_}, {"position", position_}};
    state.update(records_->extent());
    return state;
  }

  void restore(const Json& state) override {
    const Json extent = records_->extent();
    Fields fields(state, records_->name() + ": saved position");
    const int64_t epoch = fields.integer("epoch", 0, INT64_MAX / size_ - 1);
    const int64_t position = fields.integer("position", 0, INT64_MAX);
    for (const auto& [key, value] : extent.items()) {
      const int64_t saved = fields.integer(key, INT64_MIN, INT64_MAX);
      MMADA_CHECK(saved == value.get<int64_t>(), records_->name(), ": found ", value.dump(), " ", key,
                  ", expected the ", saved, " ", key, " of the saved position: the data changed");
    }
    fields.finish();
    if (position > size_) fields.fail("position", std::to_string(position), cat("0 to ", size_));
    epoch_ = epoch;
    position_ = 0;
    advance(position);
  }

 private:
  struct Place {
    int64_t record;
    uint64_t n;
  };

  void advance(int64_t count) {
    epoch_ += (position_ + count) / size_;
    position_ = (position_ + count) % size_;
  }

  /// The record at the current position.
  Place here() {
    const auto n = static_cast<uint64_t>(epoch_ * size_ + position_);
    if (!shuffle_) return {position_, n};
    if (ordered_epoch_ != epoch_) {
      block_order_ = order("", static_cast<int64_t>(sizes_.size()));
      ordered_epoch_ = epoch_;
      visit(0, 0);
    }
    if (position_ < visited_from_) visit(0, 0);
    while (position_ >= visited_from_ + sizes_[block_order_[visited_]])
      visit(visited_ + 1, visited_from_ + sizes_[block_order_[visited_]]);
    const int64_t block = block_order_[visited_];
    if (within_.empty()) within_ = order(sizes_.size() == 1 ? "" : cat("/", block), sizes_[block]);
    return {first_[block] + within_[position_ - visited_from_], n};
  }

  /// Goes to the i-th block of the epoch's order, which begins at position `from`.
  void visit(size_t i, int64_t from) {
    visited_ = i;
    visited_from_ = from;
    within_.clear();
  }

  std::vector<int64_t> order(const std::string& of, int64_t count) const {
    if (count == 1) return {0};
    return Rng(seed_, stream_ + "/shuffle" + of, static_cast<uint64_t>(epoch_)).permutation(count);
  }

  std::unique_ptr<Records> records_;
  bool shuffle_;
  std::string stream_;
  uint64_t seed_;
  std::vector<int64_t> sizes_, first_;  ///< of every block; its first record
  int64_t size_;
  int64_t epoch_ = 0, position_ = 0;
  int64_t ordered_epoch_ = -1;  ///< the epoch that block_order_ is of
  std::vector<int64_t> block_order_;
  size_t visited_ = 0;  ///< which of block_order_ within_ is about
  int64_t visited_from_ = 0;
  std::vector<int64_t> within_;  ///< empty until it is asked for
};

}  // namespace

std::unique_ptr<SampleSource> make_records_source(std::unique_ptr<Records> records, bool shuffle,
                                                  const std::string& stream, uint64_t seed) {
  return std::make_unique<RecordsSource>(std::move(records), shuffle, stream, seed);
}

}  // namespace mmada
