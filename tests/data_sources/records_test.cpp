// SPDX-License-Identifier: MIT
#include "mmada/data/records.h"

#include <catch2/catch.hpp>
#include <set>

using namespace mmada;

namespace {

/// Ten records in blocks, one of them empty; the text of a record is its number.
struct Numbers final : Records {
  std::vector<int64_t> blocks() const override { return {3, 0, 5, 2}; }
  std::optional<Sample> read(int64_t record, uint64_t) const override {
    return Sample{std::to_string(record), {}};
  }
  Json extent() const override { return {{"records", 10}}; }
  std::string name() const override { return "numbers"; }
};

std::vector<std::string> drawn(SampleSource& source, int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back(source.next().text);
  return texts;
}

}  // namespace

TEST_CASE("records of several blocks come once an epoch, and any position can be gone back to") {
  auto source = make_records_source(std::make_unique<Numbers>(), true, "numbers", 3);
  std::vector<Json> states;
  std::vector<std::string> texts;
  for (int i = 0; i < 30; ++i) {
    states.push_back(source->state());
    texts.push_back(source->next().text);
  }
  for (int epoch = 0; epoch < 3; ++epoch)
    CHECK(std::set<std::string>(texts.begin() + 10 * epoch, texts.begin() + 10 * epoch + 10).size() == 10);
  for (const int position : {25, 20, 19, 11, 9, 5, 1, 0, 27, 3}) {  // on the same source, forth and back
    source->restore(states[position]);
    CHECK(drawn(*source, 3) ==
          std::vector<std::string>(texts.begin() + position, texts.begin() + position + 3));
  }
}
