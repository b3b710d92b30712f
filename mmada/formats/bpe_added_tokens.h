// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "mmada/formats/bpe_normalizer.h"
#include "mmada/formats/bpe_pieces.h"

namespace mmada::bpe {

/// One entry of tokenizer.json's "added_tokens".
struct AddedToken {
  int64_t id = 0;
  std::string content;
  bool single_word = false;  ///< only between characters that are no word characters
  bool lstrip = false;       ///< swallows the white space before it
  bool rstrip = false;       ///< swallows the white space behind it
  bool normalized = false;   ///< looked for in the normalized text, in its normalized spelling
  bool special = false;      ///< decode may skip it
  std::string spelling;  ///< what is looked for, and what decode writes: content, normalized if so flagged
};

/// A part of a text: an added token (id >= 0) or text in between.
struct Segment {
  Range range;
  int64_t id = -1;
};

/// Finds a set of added tokens: leftmost-longest, not overlapping; among equal spellings the first counts.
class AddedTokenMatcher {
 public:
  /// Adds a token under the spelling that is looked for. `order` is the token's index in the vector given to
  /// split().
  void add(const std::string& spelling, size_t order);
  bool empty() const { return nodes_.size() == 1; }
  /// Cuts the text; parts between tokens may not be empty, the tokens' own white space is dropped.
  void split(std::string_view text, const std::vector<AddedToken>& tokens,
             std::vector<Segment>& segments) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;
    int64_t token = -1;
  };
  struct Match {
    size_t end = 0;
    int64_t token = -1;
  };
  Match longest_at(std::string_view text, size_t begin) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<bool, 256> starts_{};
};

/// All added tokens of a tokenizer.
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(const Json& json, const Place& place, const Normalizer* normalizer);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedTokenMatcher& raw() const { return raw_; }  ///< tokens looked for before normalization
  const AddedTokenMatcher& normalized() const { return normalized_; }  ///< tokens looked for behind it

 private:
  std::vector<AddedToken> tokens_;
  AddedTokenMatcher raw_, normalized_;
};

}  // namespace mmada::bpe
