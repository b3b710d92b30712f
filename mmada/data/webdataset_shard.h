// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "mmada/formats/tar_reader.h"

namespace mmada {

/// Members of one key: "dir/000.jpg" and "dir/000.txt" are the key "dir/000".
struct ShardSample {
  int64_t index = 0;  ///< among the shard's samples, complete or not
  std::string key;
  std::string image;                ///< encoded; empty where there is none
  std::string image_place;          ///< "SHARD: member NAME", what messages call the picture
  std::optional<std::string> text;  ///< without white space around it
  std::string damage;               ///< message of a member that cannot be read as text or JSON, or empty
};

/// Reads the samples of a WebDataset shard (.tar, .tgz) in the order of the file: neighbouring members that
/// share what stands before the first dot of their file name. The ending is the rest, in small letters. Taken
/// are pictures (jpg, jpeg, png, webp) and texts: txt, text, caption, or the string under `text_key` of json,
/// the first of these that is there. Other members are passed over, and so are names without ending or that
/// begin with a dot. An ending that comes twice begins a new sample.
class ShardReader {
 public:
  ShardReader(const std::string& path, std::string text_key, const Limits& limits = {});
  /// The next sample; nothing at the end. With contents false only index and key are filled in: a plain
  /// archive is then hardly read. Damage of the archive itself is an error.
  std::optional<ShardSample> next(bool contents = true);

 private:
  struct Member {
    std::string key, ending, name;
  };
  bool find_member();
  void take(ShardSample& sample, size_t& text_rank);

  std::string path_, text_key_;
  TarReader reader_;
  std::optional<Member> waiting_;  ///< the first member after the last sample; not read yet
  int64_t samples_ = 0;
};

}  // namespace mmada
