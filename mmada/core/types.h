// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

namespace mmada {

/// Token ids of a row, a prompt or a text.
using TokenIds = std::vector<int64_t>;

/// Half-open range of positions [begin, end).
struct Span {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool contains(int64_t position) const { return position >= begin && position < end; }
  bool operator==(const Span&) const = default;
};

/// Half-open range of vocabulary ids [begin, end) over which a softmax runs.
struct Window {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool contains(int64_t id) const { return id >= begin && id < end; }
  bool operator==(const Window&) const = default;
};

}  // namespace mmada
