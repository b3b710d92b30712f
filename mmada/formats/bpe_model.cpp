// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_model.h"

#include <algorithm>
#include <cstring>

#include "mmada/core/quote.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada::bpe {
namespace {

constexpr size_t kShortWord = 64;   // units; up to here scanning for the best pair beats a heap
constexpr size_t kMaxWordEnd = 64;  // bytes; looked up once a word

}  // namespace

void MergeTable::reserve(size_t merges) {
  int bits = 4;
  while ((size_t{1} << bits) < merges * 2) ++bits;
  slots_.assign(size_t{1} << bits, {});
  shift_ = 64 - bits;
  size_ = 0;
}

bool MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  size_t slot = slot_of(pair);
  for (; slots_[slot].pair != UINT64_MAX; slot = (slot + 1) & (slots_.size() - 1))
    if (slots_[slot].pair == pair) return false;
  slots_[slot] = {pair, merge};
  ++size_;
  return true;
}

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t pair =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  for (size_t slot = slot_of(pair);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].pair == pair) return slots_[slot].merge;
    if (slots_[slot].pair == UINT64_MAX) return {};
  }
}

Model::Model(const Json& json, const Place& place, bool byte_units) : byte_units_(byte_units) {
  Fields fields(json, place.source, place.path);
  fields.choice("type", {"BPE"});
  if (fields.has("dropout"))
    fields.fail("dropout", found_text(fields.raw("dropout")), "null (encoding is deterministic)");
  fields.raw("dropout");
  if (const std::string prefix = fields.string("continuing_subword_prefix", ""); !prefix.empty())
    fields.fail("continuing_subword_prefix", quote(prefix), "none (byte-level vocabularies have none)");
  word_end_ = fields.string("end_of_word_suffix", "");
  if (word_end_.size() > kMaxWordEnd)
    fields.fail("end_of_word_suffix", quote(word_end_, kMaxWordEnd), cat("at most ", kMaxWordEnd, " bytes"));
  fuse_unknown_ = fields.boolean("fuse_unk", false);
  byte_fallback_ = fields.boolean("byte_fallback", false);
  ignore_merges_ = fields.boolean("ignore_merges", false);
  read_vocabulary(fields.raw("vocab"), {place.source, place.path + ".vocab"});
  read_merges(fields.raw("merges"), {place.source, place.path + ".merges"});
  if (fields.has("unk_token")) {
    const std::string unknown = fields.string("unk_token");
    unknown_ = find(unknown);
    if (!unknown_) fields.fail("unk_token", quote(unknown), "a token of the vocabulary");
  }
  fields.raw("unk_token");
  fields.finish();
  find_bytes();
}

void Model::find_bytes() {
  all_bytes_known_ = true;
  for (int byte = 0; byte < 256; ++byte) {
    std::string unit;
    append_codepoint(unit, byte_to_codepoint(static_cast<uint8_t>(byte)));
    byte_ids_[byte] = find(unit).value_or(-1);
    last_byte_ids_[byte] = find(unit + word_end_).value_or(-1);
    all_bytes_known_ &= byte_ids_[byte] >= 0 && last_byte_ids_[byte] >= 0;
  }
}

void Model::read_vocabulary(const Json& json, const Place& place) {
  MMADA_CHECK(json.is_object(), place.text(), ": found ", found_text(json),
              ", expected an object of tokens and ids");
  vocabulary_.reserve(json.size());
  for (const auto& [token, id] : json.items()) {
    MMADA_CHECK(id.is_number_integer() && id.is_number_unsigned() && id.get<uint64_t>() < INT32_MAX,
                place.text(), ": token ", quote(token), ": found ", found_text(id),
                ", expected an id from 0 to ", INT32_MAX - 1);
    vocabulary_.emplace(token, id.get<int32_t>());
  }
}

void Model::read_merges(const Json& json, const Place& place) {
  MMADA_CHECK(json.is_array(), place.text(), ": found ", found_text(json), ", expected a list of merges");
  merges_.reserve(json.size());
  int32_t rank = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    const Json& merge = json[i];
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    } else if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version"))
        continue;  // the first line of a merges.txt, which old files carry along
      const size_t space = text.find(' ');
      MMADA_CHECK(space != std::string::npos && text.find(' ', space + 1) == std::string::npos, place.text(),
                  '[', i, "]: found ", quote(text), ", expected two tokens with one space between");
      left = text.substr(0, space), right = text.substr(space + 1);
    } else {
      throw Error(
          cat(place.text(), '[', i, "]: found ", found_text(merge), ", expected \"a b\" or [\"a\", \"b\"]"));
    }
    const auto require = [&](const std::string& token, const char* role) {
      const auto id = find(token);
      MMADA_CHECK(id, place.text(), '[', i, "]: found the ", role, " ", quote(token),
                  ", expected a token of the vocabulary");
      return *id;
    };
    const int32_t left_id = require(left, "part"), right_id = require(right, "part");
    MMADA_CHECK(merges_.insert(left_id, right_id, {rank, require(left + right, "result")}), place.text(), '[',
                i, "]: found ", quote(left + " " + right), " a second time, expected every merge once");
    ++rank;
  }
}

std::optional<int32_t> Model::find(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end()) return std::nullopt;
  return found->second;
}

void Model::units_of(std::string_view word, MergeScratch& scratch) const {
  auto& ids = scratch.ids;
  ids.clear();
  if (byte_units_ && all_bytes_known_) {
    ids.resize(word.size());
    for (size_t i = 0; i < word.size(); ++i) ids[i] = byte_ids_[static_cast<uint8_t>(word[i])];
    if (!word.empty()) ids.back() = last_byte_ids_[static_cast<uint8_t>(word.back())];
    return;
  }
  unknown_units_of(word, scratch);
}

/// The <0xNN> tokens of the unit's bytes; empty unless the vocabulary has all of them.
std::vector<int32_t> Model::fallback_bytes(std::string_view unit) const {
  std::vector<int32_t> bytes;
  for (size_t i = 0; byte_fallback_ && i < unit.size(); ++i) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    const auto byte = static_cast<uint8_t>(unit[i]);
    const char code[] = {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
    const auto id = find(std::string_view(code, sizeof code));
    if (!id) return {};
    bytes.push_back(*id);
  }
  return bytes;
}

/// One id per character, or what the model has for characters it lacks: bytes, the unknown token, or nothing.
void Model::unknown_units_of(std::string_view word, MergeScratch& scratch) const {
  std::string mapped;
  if (byte_units_) append_byte_alphabet(mapped, word);
  const std::string_view text = byte_units_ ? std::string_view(mapped) : word;
  auto& ids = scratch.ids;
  bool pending_unknown = false;  // written when the next known character comes, so that runs can fuse
  std::string last;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    next_codepoint(text, at);
    std::string_view unit = text.substr(begin, at - begin);
    if (at == text.size() && !word_end_.empty()) unit = last.assign(unit).append(word_end_);
    if (const auto id = find(unit)) {
      if (pending_unknown) ids.push_back(*unknown_);
      pending_unknown = false;
      ids.push_back(*id);
      continue;
    }
    if (const std::vector<int32_t> bytes = fallback_bytes(unit); !bytes.empty()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      continue;
    }
    if (!unknown_) continue;
    if (pending_unknown && !fuse_unknown_) ids.push_back(*unknown_);
    pending_unknown = true;
  }
  if (pending_unknown) ids.push_back(*unknown_);
}

void Model::encode(std::string_view word, std::vector<int64_t>& out, MergeScratch& scratch) const {
  if (const auto* entry = scratch.cache.find(word)) return WordCache::append(*entry, out);
  if (ignore_merges_) {
    scratch.word.clear();
    if (byte_units_) append_byte_alphabet(scratch.word, word);
    if (const auto id = find(byte_units_ ? std::string_view(scratch.word) : word)) {
      scratch.cache.insert(word, &*id, 1);
      out.push_back(*id);
      return;
    }
  }
  units_of(word, scratch);
  if (scratch.ids.size() > kShortWord) {
    merge_long(scratch);
  } else {
    merge_short(scratch);
  }
  scratch.cache.insert(word, scratch.ids.data(), scratch.ids.size());
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

/// The best-ranked pair merges, leftmost first, until no pair is left: by scanning.
void Model::merge_short(MergeScratch& scratch) const {
  auto& ids = scratch.ids;
  auto& merges = scratch.merges;
  if (ids.size() < 2) return;
  merges.resize(ids.size() - 1);
  for (size_t i = 0; i + 1 < ids.size(); ++i) merges[i] = merges_.find(ids[i], ids[i + 1]);
  while (!merges.empty()) {
    size_t best = 0;
    for (size_t i = 1; i < merges.size(); ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == INT32_MAX) return;
    ids[best] = merges[best].id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    merges.erase(merges.begin() + static_cast<std::ptrdiff_t>(best));
    if (best > 0) merges[best - 1] = merges_.find(ids[best - 1], ids[best]);
    if (best < merges.size()) merges[best] = merges_.find(ids[best], ids[best + 1]);
  }
}

/// The same order by a heap of (rank, position) over a linked list; outdated entries are recognised by their
/// rank.
void Model::merge_long(MergeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto count = static_cast<int32_t>(scratch.ids.size());
  symbols.resize(count);
  heap.clear();
  const auto look = [&](int32_t at) {
    auto& symbol = symbols[at];
    symbol.merge = symbol.next < 0 ? MergeTable::Merge{} : merges_.find(symbol.id, symbols[symbol.next].id);
    if (symbol.merge.rank == INT32_MAX) return;
    heap.push_back(static_cast<uint64_t>(symbol.merge.rank) << 32 | static_cast<uint32_t>(at));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (int32_t i = 0; i < count; ++i) symbols[i] = {scratch.ids[i], i - 1, i + 1 < count ? i + 1 : -1, {}};
  for (int32_t i = 0; i < count; ++i) look(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto at = static_cast<int32_t>(heap.back() & UINT32_MAX);
    const auto rank = static_cast<int32_t>(heap.back() >> 32);
    heap.pop_back();
    auto& symbol = symbols[at];
    if (symbol.id < 0 || symbol.merge.rank != rank) continue;
    symbol.id = symbol.merge.id;
    auto& swallowed = symbols[symbol.next];
    symbol.next = swallowed.next;
    swallowed.id = -1;
    if (symbol.next >= 0) symbols[symbol.next].previous = at;
    look(at);
    if (symbol.previous >= 0) look(symbol.previous);
  }
  scratch.ids.clear();
  for (int32_t at = 0; at >= 0; at = symbols[at].next) scratch.ids.push_back(symbols[at].id);
}

}  // namespace mmada::bpe
