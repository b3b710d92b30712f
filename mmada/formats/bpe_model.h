// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mmada/formats/bpe_pieces.h"

namespace mmada::bpe {

/// Hash that lets std::string keys be looked up by string_view.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

/// Pairs of ids -> (rank, merged id): an open-addressing table, since a merge costs one look-up per pair.
class MergeTable {
 public:
  struct Merge {
    int32_t rank = INT32_MAX;
    int32_t id = -1;
  };
  void reserve(size_t merges);
  /// Returns false when the pair is there already.
  bool insert(int32_t left, int32_t right, Merge merge);
  /// rank INT32_MAX: no such merge.
  Merge find(int32_t left, int32_t right) const;
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    Merge merge;
  };
  size_t slot_of(uint64_t pair) const { return (pair * 0x9e3779b97f4a7c15u) >> shift_; }

  std::vector<Slot> slots_ = std::vector<Slot>(2);
  int shift_ = 63;
  size_t size_ = 0;
};

/// Remembers the ids of short words: a fixed number of slots, each holding the last word that fell into it.
class WordCache {
 public:
  /// nullptr when the word is not there.
  struct Entry;
  const Entry* find(std::string_view word) const;
  void insert(std::string_view word, const int32_t* ids, size_t count);
  static void append(const Entry& entry, std::vector<int64_t>& out);

  WordCache();
  ~WordCache();

 private:
  std::unique_ptr<Entry[]> entries_;
};

/// Working memory of one thread for the merges.
struct MergeScratch {
  struct Symbol {
    int32_t id, previous, next;
    MergeTable::Merge merge;  ///< with the next symbol
  };
  std::vector<int32_t> ids;
  std::vector<MergeTable::Merge> merges;
  std::vector<Symbol> symbols;
  std::vector<uint64_t> heap;
  std::string word;
  WordCache cache;
};

/// tokenizer.json's "model" of type BPE.
class Model {
 public:
  Model(const Json& json, const Place& place, bool byte_units);

  /// Appends the ids of one pre-tokenized word. With byte_units the word's bytes stand for the alphabet's
  /// characters.
  void encode(std::string_view word, std::vector<int64_t>& out, MergeScratch& scratch) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  size_t merge_count() const { return merges_.size(); }

 private:
  void read_vocabulary(const Json& json, const Place& place);
  void read_merges(const Json& json, const Place& place);
  std::optional<int32_t> find(std::string_view token) const;
  void find_bytes();
  std::vector<int32_t> fallback_bytes(std::string_view unit) const;
  void units_of(std::string_view word, MergeScratch& scratch) const;
  void unknown_units_of(std::string_view word, MergeScratch& scratch) const;
  void merge_short(MergeScratch& scratch) const;
  void merge_long(MergeScratch& scratch) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  bool byte_units_ = false;
  bool all_bytes_known_ = false;
  int32_t byte_ids_[256] = {};
  int32_t last_byte_ids_[256] = {};  ///< of bytes that end a word
  std::string word_end_;             ///< what the last unit of a word carries behind it, such as "</w>"
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
  std::optional<int32_t> unknown_;
};

}  // namespace mmada::bpe
