// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mmada {

/// BERT's WordPiece tokenizer over an uncased vocabulary (Devlin et al., arXiv 1810.04805), with the ids of
/// the `tokenizers` package's BertWordPieceTokenizer and of transformers' BertTokenizer: control characters
/// dropped, ideographs set apart, accents removed, lower case, cut at white space and around punctuation,
/// each word taken as the longest pieces from its front ("##" marks those behind the first), [UNK] where that
/// does not work out or a word has more than 100 characters. Unicode classes are the newest utf8proc knows.
///
/// The marks [PAD], [UNK], [CLS], [SEP] and [MASK] written in the text are recognised; none are added around
/// it. Text that is not UTF-8 reads as if its invalid parts were U+FFFD, which are dropped. Methods may be
/// called from several threads at once.
class WordPiece {
 public:
  /// A vocab.txt: one token a line, ids are line numbers from 0. Doubled, empty or missing tokens are errors
  /// that name `source`.
  WordPiece(std::string_view vocabulary, const std::string& source);
  /// Reads the file.
  static WordPiece load(const std::string& path);
  ~WordPiece();
  WordPiece(WordPiece&&) noexcept;
  WordPiece& operator=(WordPiece&&) noexcept;

  std::vector<int64_t> encode(std::string_view text) const;
  std::optional<int64_t> token_id(std::string_view token) const;
  /// Number of ids, which are 0 .. size() - 1.
  int64_t size() const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace mmada
