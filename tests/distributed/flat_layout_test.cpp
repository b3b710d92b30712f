// SPDX-License-Identifier: MIT
#include "mmada/distributed/flat_layout.h"

#include <catch2/catch.hpp>
#include <map>

namespace mmada {
namespace {

const std::vector<std::pair<std::string, std::vector<int64_t>>> kShapes = {
    {"a", {3, 5}}, {"norm", {7}}, {"scalar", {}}, {"big", {40, 33}}};

TEST_CASE("parameters and shards begin at multiples of the alignment") {
  for (const int64_t alignment : {1, 64, 256})
    for (const int world_size : {1, 2, 3, 4, 7}) {
      const FlatLayout layout = flat_layout(kShapes, world_size, alignment);
      int64_t end = 0;
      for (const FlatParameter& parameter : layout.parameters) {
        CHECK(parameter.begin % alignment == 0);
        CHECK(parameter.begin >= end);
        end = parameter.begin + parameter.numel;
      }
      CHECK(layout.shard % alignment == 0);
      CHECK(layout.padded == world_size * layout.shard);
      CHECK(layout.padded >= end);
      CHECK(layout.padded < end + alignment * (world_size + 1));
    }
}

TEST_CASE("the ranks' segments cover every element of every parameter once") {
  for (const int world_size : {1, 2, 3, 5, 40}) {
    const FlatLayout layout = flat_layout(kShapes, world_size, 64);
    std::map<std::pair<size_t, int64_t>, int> seen;
    for (int rank = 0; rank < world_size; ++rank)
      for (const FlatLayout::Segment& segment : layout.segments(rank)) {
        REQUIRE(segment.shard.begin >= 0);
        REQUIRE(segment.shard.end <= layout.shard);
        const FlatParameter& parameter = layout.parameters[segment.parameter];
        CHECK(rank * layout.shard + segment.shard.begin == parameter.begin + segment.offset);
        for (int64_t i = 0; i < segment.shard.size(); ++i)
          ++seen[std::pair(segment.parameter, segment.offset + i)];
      }
    CHECK(seen.size() == 15 + 7 + 1 + 1320);
    for (const auto& [element, count] : seen) CHECK(count == 1);
  }
}

TEST_CASE("blocks of 8-bit states lie within one shard at an alignment of 256") {
  const FlatLayout layout = flat_layout(kShapes, 3, 256);
  for (int rank = 0; rank < 3; ++rank)
    for (const FlatLayout::Segment& segment : layout.segments(rank)) CHECK(segment.offset % 256 == 0);
}

}  // namespace
}  // namespace mmada
