// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmada {

/// What the parsers accept at most: one struct, handed to every path that reads a foreign file.
struct Limits {
  uint64_t safetensors_header_bytes = 100'000'000;  ///< the format's own limit
  uint64_t safetensors_entries = 1u << 18;          ///< tensors of one file; metadata pairs of one file
  uint64_t safetensors_rank = 64;                   ///< dimensions of one tensor
  uint64_t safetensors_string_bytes = 16u << 20;    ///< one name or metadata value
  uint64_t index_bytes = 16u << 20;                 ///< a shard index's JSON text
  uint64_t index_values = 1u << 18;  ///< JSON values of a shard index: one for each tensor of the checkpoint
  uint64_t image_file_bytes = 64u << 20;
  uint64_t image_pixels = 64u << 20;  ///< width x height, checked before anything is decoded
  uint64_t image_side = 1u << 16;
  uint64_t tar_member_bytes = 64u << 20;  ///< one file of an archive, whether it is read or passed over
  uint64_t tar_name_bytes = 4096;
  uint64_t tar_members = 1u << 24;  ///< of one archive
};

}  // namespace mmada
