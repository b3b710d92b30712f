// SPDX-License-Identifier: MIT
#include "mmada/distributed/flat_layout.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "mmada/core/check.h"

namespace mmada {
namespace {

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

FlatLayout flat_layout(const std::vector<std::pair<std::string, std::vector<int64_t>>>& named_shapes,
                       int world_size, int64_t alignment) {
  MMADA_CHECK(world_size >= 1 && alignment >= 1, "flat layout: found ", world_size,
              " processes and an alignment of ", alignment, ", expected at least 1 of both");
  FlatLayout layout;
  int64_t end = 0;
  for (const auto& [name, shape] : named_shapes) {
    const int64_t numel = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    layout.parameters.push_back({name, shape, end, numel});
    end = round_up(end + numel, alignment);
  }
  layout.padded = round_up(end, alignment * world_size);
  layout.shard = layout.padded / world_size;
  return layout;
}

std::vector<FlatLayout::Segment> FlatLayout::segments(int rank) const {
  const int64_t first = rank * shard, last = first + shard;
  std::vector<Segment> result;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int64_t begin = std::max(parameters[i].begin, first),
                  end = std::min(parameters[i].begin + parameters[i].numel, last);
    if (begin < end) result.push_back({i, {begin - first, end - first}, begin - parameters[i].begin});
  }
  return result;
}

}  // namespace mmada
