// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/core/types.h"

namespace mmada {

/// A parameter's place in the flat tensor of its unit.
struct FlatParameter {
  std::string name;
  std::vector<int64_t> shape;
  int64_t begin = 0, numel = 0;  ///< elements
};

/// How the parameters of a unit lie behind one another and are cut into equal shards. A pure function of
/// names, shapes and world size: any process knows every process's part.
struct FlatLayout {
  std::vector<FlatParameter> parameters;
  int64_t padded = 0;  ///< elements of the whole: world_size shards
  int64_t shard = 0;   ///< elements of each rank's part

  /// A piece of a parameter within a shard.
  struct Segment {
    size_t parameter = 0;  ///< index into parameters
    Span shard;            ///< elements of the shard
    int64_t offset = 0;    ///< of its first element within the parameter, flattened
  };
  /// What of the parameters lies in a rank's shard, in order; padding is left out.
  std::vector<Segment> segments(int rank) const;
};

/// Every parameter begins at a multiple of `alignment` elements, and so does every shard: 64 keeps views of
/// bf16 aligned for 16-byte loads, 256 keeps blocks of 8-bit optimizer states within one shard.
FlatLayout flat_layout(const std::vector<std::pair<std::string, std::vector<int64_t>>>& named_shapes,
                       int world_size, int64_t alignment);

}  // namespace mmada
