// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mmada {

/// A byte-level BPE tokenizer from a tokenizer.json of the Hugging Face `tokenizers` package, with its
/// results.
///
/// Differences, all deliberate: no post-processor, truncation or padding is applied (layouts are made
/// elsewhere); text that is not UTF-8 reads as if its invalid parts were U+FFFD; ids without a token are an
/// error in decode instead of vanishing; and files that the package would repair silently (double ids, gaps
/// between ids, merges of missing tokens, unknown components) are refused. Methods may be called from several
/// threads at once.
class BpeTokenizer {
 public:
  /// Parses and validates the text of a tokenizer.json; `source` names it in errors.
  BpeTokenizer(std::string_view json, const std::string& source);
  /// Reads the file.
  static BpeTokenizer load(const std::string& path);
  ~BpeTokenizer();
  BpeTokenizer(BpeTokenizer&&) noexcept;
  BpeTokenizer& operator=(BpeTokenizer&&) noexcept;

  /// Ids of the text; added tokens written in the text are recognised, none are added around it.
  std::vector<int64_t> encode(std::string_view text) const;
  /// Text of the ids; skip_special leaves out the added tokens that are marked special.
  std::string decode(const std::vector<int64_t>& ids, bool skip_special = true) const;
  std::optional<int64_t> token_id(std::string_view token) const;
  /// The spelling of an id as the file has it (in the byte alphabet); empty when unknown.
  std::string token(int64_t id) const;
  /// Whether the id is an added token marked special.
  bool is_special(int64_t id) const;
  /// Number of ids, which are 0 .. size() - 1.
  int64_t size() const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace mmada
