// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// A picture's codes kept on disk, for all processes and runs that encode with the same tokenizer.
///
/// FOLDER/KEY/ holds two files of fixed-size records in the same order: `index` (16 bytes of the picture's
/// SHA-256) and `codes` (the codes as uint32, then CRC-32C of key and codes, little-endian). KEY names
/// the setup, all that codes depend on besides the picture, which `setup.json` there spells out: another
/// setup is another folder, so that codes of other weights are never found.
///
/// Writers take turns by flock on `index` and write the codes before the entry that makes them count; what a
/// killed writer left half-done is written over by the next. A record whose checksum is wrong is as if it
/// were not there, is reported once, and is replaced by put(). The last entry of a key counts. In memory a
/// picture takes about 50 bytes.
class CodeCache {
 public:
  using Key = std::array<uint8_t, 16>;
  using Codes = std::vector<uint32_t>;

  /// Opens or makes the folder. `count`: codes of every picture. Errors name the file.
  CodeCache(const std::string& folder, const Json& setup, int64_t count);
  ~CodeCache();
  CodeCache(const CodeCache&) = delete;
  CodeCache& operator=(const CodeCache&) = delete;

  /// Where damage is reported; null: nowhere.
  void log_to(std::ostream* log) { log_ = log; }
  /// The codes, also where another process has put them since.
  std::optional<Codes> find(const Key& key);
  /// Adds what is not there yet, and replaces what find() found damaged.
  void put(const std::vector<std::pair<Key, Codes>>& pictures);
  int64_t size() const { return static_cast<int64_t>(places_.size()); }  ///< pictures known to this process
  const std::string& path() const { return path_; }                      ///< FOLDER/KEY

 private:
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  class Lock;
  void read_new_entries();
  bool is_kept(const Key& key) const { return places_.contains(key); }

  std::string path_;
  int64_t count_ = 0;
  int index_ = -1, codes_ = -1;  ///< file descriptors
  int64_t entries_ = 0;          ///< of the index that were read
  int64_t damaged_ = 0;
  std::unordered_map<Key, int64_t, Hash> places_;
  std::ostream* log_ = nullptr;
};

}  // namespace mmada
