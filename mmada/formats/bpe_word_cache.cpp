// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "mmada/formats/bpe_model.h"

namespace mmada::bpe {

namespace {

constexpr int kSlotBits = 14;
constexpr size_t kWordBytes = 30;
constexpr size_t kWordIds = 8;

size_t slot_of(std::string_view word) {
  uint64_t hash = word.size();
  const char* at = word.data();
  size_t left = word.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t chunk;
    std::memcpy(&chunk, at, 8);
    hash = (hash ^ chunk) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  uint64_t rest = 0;
  std::memcpy(&rest, at, left);
  return ((hash ^ rest) * 0x9e3779b97f4a7c15u) >> (64 - kSlotBits);
}

}  // namespace

/// One cache line: bytes 0 marks an empty slot, since words are never empty.
struct WordCache::Entry {
  uint8_t bytes = 0;
  uint8_t count = 0;
  char word[kWordBytes] = {};
  int32_t ids[kWordIds] = {};
};

WordCache::WordCache() : entries_(std::make_unique<Entry[]>(size_t{1} << kSlotBits)) {}
WordCache::~WordCache() = default;

const WordCache::Entry* WordCache::find(std::string_view word) const {
  if (word.empty() || word.size() > kWordBytes) return nullptr;
  const Entry& entry = entries_[slot_of(word)];
  return std::string_view(entry.word, entry.bytes) == word ? &entry : nullptr;
}

void WordCache::insert(std::string_view word, const int32_t* ids, size_t count) {
  if (word.empty() || word.size() > kWordBytes || count > kWordIds) return;
  Entry& entry = entries_[slot_of(word)];
  entry.bytes = static_cast<uint8_t>(word.size());
  entry.count = static_cast<uint8_t>(count);
  std::memcpy(entry.word, word.data(), word.size());
  std::copy_n(ids, count, entry.ids);  // ids may be null when a word has none
}

void WordCache::append(const Entry& entry, std::vector<int64_t>& out) {
  out.insert(out.end(), entry.ids, entry.ids + entry.count);
}

}  // namespace mmada::bpe
