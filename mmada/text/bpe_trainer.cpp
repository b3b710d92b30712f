// SPDX-License-Identifier: MIT
#include "mmada/text/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>

#include "mmada/core/check.h"
#include "mmada/formats/bpe_added_tokens.h"
#include "mmada/formats/bpe_model.h"
#include "mmada/formats/bpe_pretokenizer.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada {
namespace {

using namespace bpe;
using Pair = std::pair<int32_t, int32_t>;

Json pre_tokenizer_json(const BpeTrainerOptions& options) {
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  if (!options.individual_digits) return byte_level;
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({digits, byte_level})}};
}

Json added_tokens_json(const BpeTrainerOptions& options) {
  Json tokens = Json::array();
  const auto add = [&](const std::string& content, bool special) {
    tokens.push_back({{"id", tokens.size()},
                      {"content", content},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", special}});
  };
  for (const auto& token : options.special_tokens) add(token, true);
  for (const auto& token : options.added_tokens) add(token, false);
  return tokens;
}

/// How often each pre-tokenized word occurs; ordered, so that nothing depends on a hash.
std::map<std::string, int64_t> count_words(const TextSource& next_text, const Json& pre_tokenizer_config,
                                           const AddedTokens& added) {
  const PreTokenizer pre_tokenizer(pre_tokenizer_config, {"trainer", "pre_tokenizer"});
  std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>> counts;
  Scratch scratch;
  Pieces pieces;
  std::vector<Segment> segments;
  for (std::string text; next_text(text);) {
    const std::string valid = to_valid_utf8(text);
    segments.clear();
    added.raw().split(valid, added.tokens(), segments);
    for (const Segment segment : segments) {
      if (segment.id >= 0) continue;
      pieces.text = valid.substr(segment.range.begin, segment.range.end - segment.range.begin);
      pieces.ranges.assign(1, {0, pieces.text.size()});
      scratch.regex.allow(pieces.text.size());
      pre_tokenizer.apply(pieces, scratch);
      for (const Range range : pieces.ranges) {
        const std::string_view word = pieces.view(range);
        auto found = counts.find(word);
        if (found == counts.end()) found = counts.emplace(std::string(word), 0).first;
        ++found->second;
      }
    }
  }
  return {counts.begin(), counts.end()};
}

/// The growing vocabulary and the words that its merges rewrite.
class Merger {
 public:
  Merger(const std::vector<std::string>& first_tokens, const std::map<std::string, int64_t>& word_counts) {
    for (const auto& token : first_tokens) id_of(token);
    int32_t byte_ids[256];
    std::vector<uint32_t> alphabet;
    for (int byte = 0; byte < 256; ++byte) alphabet.push_back(byte_to_codepoint(static_cast<uint8_t>(byte)));
    std::sort(alphabet.begin(), alphabet.end());
    for (const uint32_t codepoint : alphabet) {
      std::string token;
      append_codepoint(token, codepoint);
      byte_ids[codepoint_to_byte(codepoint)] = id_of(token);
    }
    for (const auto& [word, count] : word_counts) {
      counts_.push_back(count);
      words_.emplace_back();
      for (const char c : word) words_.back().push_back(byte_ids[static_cast<uint8_t>(c)]);
      for (size_t i = 0; i + 1 < words_.back().size(); ++i)
        change({words_.back()[i], words_.back()[i + 1]}, count, words_.size() - 1);
    }
    queue_touched();
  }

  /// Merges the most frequent pair; false when none is frequent enough.
  bool step(int64_t min_frequency) {
    while (!queue_.empty()) {
      const auto [count, pair] = queue_.top();
      queue_.pop();
      auto& statistics = pairs_.at(pair);
      if (statistics.merged) continue;
      if (count != statistics.count) {  // it lost occurrences since it was queued
        if (statistics.count > 0) queue_.push({statistics.count, pair});
        continue;
      }
      if (count < std::max<int64_t>(1, min_frequency)) return false;
      statistics.merged = true;
      merge(pair, std::move(statistics.words));
      return true;
    }
    return false;
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<std::string>& merges() const { return merges_; }

 private:
  struct Statistics {
    int64_t count = 0;
    std::vector<size_t> words;  ///< where it may occur, ascending, with repetitions
    bool merged = false;
  };
  struct PairHash {
    size_t operator()(Pair pair) const {
      return (static_cast<uint64_t>(pair.first) << 32 | static_cast<uint32_t>(pair.second)) *
                 0x9e3779b97f4a7c15u >>
             20;
    }
  };
  /// Frequent first, then low ids.
  struct Less {
    bool operator()(const std::pair<int64_t, Pair>& a, const std::pair<int64_t, Pair>& b) const {
      return a.first != b.first ? a.first < b.first : a.second > b.second;
    }
  };

  int32_t id_of(const std::string& token) {
    const auto [entry, fresh] = ids_.emplace(token, static_cast<int32_t>(tokens_.size()));
    if (fresh) tokens_.push_back(token);
    return entry->second;
  }

  void change(Pair pair, int64_t by, size_t word) {
    auto& statistics = pairs_[pair];
    statistics.count += by;
    if (by <= 0) return;
    if (statistics.words.empty() || statistics.words.back() != word) statistics.words.push_back(word);
    touched_.push_back(pair);
  }

  void queue_touched() {
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const Pair& pair : touched_)
      if (const auto& statistics = pairs_.at(pair); statistics.count > 0 && !statistics.merged)
        queue_.push({statistics.count, pair});
    touched_.clear();
  }

  void merge(Pair pair, std::vector<size_t> words) {
    const std::string left = tokens_[pair.first], right = tokens_[pair.second];
    merges_.push_back(left + " " + right);
    const int32_t merged = id_of(left + right);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    for (const size_t word : words) merge_in(word, pair, merged);
    queue_touched();
  }

  void merge_in(size_t word, Pair pair, int32_t merged) {
    auto& symbols = words_[word];
    const int64_t count = counts_[word];
    size_t out = 0;
    for (size_t i = 0; i < symbols.size(); ++i, ++out) {
      symbols[out] = symbols[i];
      if (i + 1 == symbols.size() || Pair{symbols[i], symbols[i + 1]} != pair) continue;
      if (out > 0) {
        change({symbols[out - 1], pair.first}, -count, word);
        change({symbols[out - 1], merged}, count, word);
      }
      if (i + 2 < symbols.size()) {
        change({pair.second, symbols[i + 2]}, -count, word);
        change({merged, symbols[i + 2]}, count, word);
      }
      symbols[out] = merged;
      ++i;
    }
    symbols.resize(out);
  }

  std::vector<std::string> tokens_, merges_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::vector<int32_t>> words_;
  std::vector<int64_t> counts_;
  std::unordered_map<Pair, Statistics, PairHash> pairs_;
  std::vector<Pair> touched_;
  std::priority_queue<std::pair<int64_t, Pair>, std::vector<std::pair<int64_t, Pair>>, Less> queue_;
};

}  // namespace

std::string train_bpe(const TextSource& next_text, const BpeTrainerOptions& options) {
  std::vector<std::string> first = options.special_tokens;
  first.insert(first.end(), options.added_tokens.begin(), options.added_tokens.end());
  const auto smallest = static_cast<int64_t>(first.size()) + 256;
  MMADA_CHECK(options.vocab_size >= smallest && options.vocab_size <= (1 << 22),
              "tokenizer training: vocab_size: found ", options.vocab_size, ", expected ", smallest, " (",
              first.size(), " tokens and 256 bytes) to ", 1 << 22);
  const Json added_json = added_tokens_json(options);
  const AddedTokens added(added_json, {"tokenizer training", "special_tokens and added_tokens"}, nullptr);
  const Json pre_tokenizer = pre_tokenizer_json(options);
  Merger merger(first, count_words(next_text, pre_tokenizer, added));
  while (static_cast<int64_t>(merger.tokens().size()) < options.vocab_size &&
         merger.step(options.min_frequency)) {
  }
  Json vocabulary = Json::object();
  auto& members = vocabulary.get_ref<Json::object_t&>();
  for (const auto& token : merger.tokens()) members.emplace_back(token, members.size());
  const Json file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_json},
      {"normalizer", nullptr},
      {"pre_tokenizer", pre_tokenizer},
      {"post_processor", nullptr},
      {"decoder",
       {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocabulary},
        {"merges", merger.merges()}}}};
  return file.dump(1) + "\n";
}

}  // namespace mmada
