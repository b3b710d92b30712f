// SPDX-License-Identifier: MIT
#include "mmada/formats/word_piece.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/bpe_added_tokens.h"
#include "mmada/formats/bpe_model.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada {
namespace {

using namespace bpe;

constexpr size_t kMaxVocabularyBytes = 64u << 20;
constexpr size_t kMaxTextBytes = 256u << 20;
constexpr size_t kMaxWordCharacters = 100;  // BERT's
constexpr std::string_view kMarks[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_dropped(uint32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const auto kind = category(c);
  return c == 0 || c == 0xFFFD || kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_CO;
}

/// The blocks of ideographs that BERT sets apart; kana and hangul are not among them.
bool is_ideograph(uint32_t c) {
  constexpr std::array<std::pair<uint32_t, uint32_t>, 8> kBlocks = {{{0x4E00, 0x9FFF},
                                                                     {0x3400, 0x4DBF},
                                                                     {0x20000, 0x2A6DF},
                                                                     {0x2A700, 0x2B73F},
                                                                     {0x2B740, 0x2B81F},
                                                                     {0x2B920, 0x2CEAF},
                                                                     {0xF900, 0xFAFF},
                                                                     {0x2F800, 0x2FA1F}}};
  return std::ranges::any_of(kBlocks, [&](const auto& b) { return c >= b.first && c <= b.second; });
}

/// All of ASCII that is no letter, number, space or control counts, symbols too.
bool is_punctuation(uint32_t c) {
  if (c < 0x80)
    return c > 0x20 && c < 0x7F && !(c >= '0' && c <= '9') && ((c | 0x20) < 'a' || (c | 0x20) > 'z');
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

template <class Function>
void for_each_codepoint(std::string_view text, Function&& function) {
  for (size_t at = 0; at < text.size();) function(next_codepoint(text, at));
}

/// Lower case without accents and controls, spaces around ideographs.
std::string normalized(std::string_view text) {
  std::string clean, lower;
  for_each_codepoint(text, [&](uint32_t c) {
    if (is_dropped(c)) return;
    const bool apart = is_ideograph(c);
    if (apart) clean += ' ';
    append_codepoint(clean, is_white_space(c) ? ' ' : c);
    if (apart) clean += ' ';
  });
  for_each_codepoint(normal_form(clean, NormalForm::kNfd), [&](uint32_t c) {
    if (category(c) != UTF8PROC_CATEGORY_MN) append_lowercase(lower, c);
  });
  return lower;
}

/// Calls function(word) for what stands between spaces and for every punctuation mark alone.
template <class Function>
void for_each_word(std::string_view text, Function&& function) {
  size_t begin = 0;
  const auto cut = [&](size_t end) {
    if (end > begin) function(text.substr(begin, end - begin));
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const uint32_t c = next_codepoint(text, at);
    const bool mark = is_punctuation(c);
    if (!mark && !is_white_space(c)) continue;
    cut(here);
    if (mark) function(text.substr(here, at - here));
    begin = at;
  }
  cut(text.size());
}

}  // namespace

struct WordPiece::Parts {
  std::optional<int64_t> find(std::string_view token) const {
    const auto found = ids.find(token);
    return found == ids.end() ? std::nullopt : std::optional<int64_t>(found->second);
  }
  void encode_word(std::string_view word, std::vector<int64_t>& out) const;

  Vocabulary ids;
  int64_t unknown = 0;
  std::vector<AddedToken> marks;
  AddedTokenMatcher matcher;
};

void WordPiece::Parts::encode_word(std::string_view word, std::vector<int64_t>& out) const {
  size_t characters = 0;
  for_each_codepoint(word, [&](uint32_t) { ++characters; });
  const size_t before = out.size();
  std::string piece;
  for (size_t begin = 0; begin < word.size();) {
    std::optional<int64_t> id;
    size_t end = word.size();
    for (; characters <= kMaxWordCharacters && end > begin; end = previous_codepoint(word, end)) {
      piece.assign(begin > 0 ? "##" : "").append(word.substr(begin, end - begin));
      if ((id = find(piece))) break;
    }
    if (!id) {
      out.resize(before);
      out.push_back(unknown);
      return;
    }
    out.push_back(*id);
    begin = end;
  }
}

WordPiece::WordPiece(std::string_view vocabulary, const std::string& source) {
  auto parts = std::make_unique<Parts>();
  while (!vocabulary.empty()) {
    const size_t end = std::min(vocabulary.find('\n'), vocabulary.size());
    const std::string token(vocabulary.substr(0, end));
    const auto line = static_cast<int32_t>(parts->ids.size());
    MMADA_CHECK(!token.empty(), source, ": line ", line + 1, ": found an empty line, expected a token");
    MMADA_CHECK(parts->ids.emplace(token, line).second, source, ": line ", line + 1, ": found ", quote(token),
                " a second time, expected every token once");
    vocabulary.remove_prefix(std::min(end + 1, vocabulary.size()));
  }
  for (const std::string_view mark : kMarks) {
    const auto id = parts->find(mark);
    MMADA_CHECK(id, source, ": found no token ", mark, ", expected a vocabulary of BERT");
    parts->matcher.add(std::string(mark), parts->marks.size());
    AddedToken token;
    token.id = *id;
    parts->marks.push_back(std::move(token));
  }
  parts->unknown = *parts->find("[UNK]");
  parts_ = std::move(parts);
}

WordPiece WordPiece::load(const std::string& path) {
  return WordPiece(read_file(path, kMaxVocabularyBytes), path);
}
WordPiece::~WordPiece() = default;
WordPiece::WordPiece(WordPiece&&) noexcept = default;
WordPiece& WordPiece::operator=(WordPiece&&) noexcept = default;

std::vector<int64_t> WordPiece::encode(std::string_view text) const {
  MMADA_CHECK(text.size() <= kMaxTextBytes, "text: found ", text.size(), " bytes, expected at most ",
              kMaxTextBytes);
  const std::string valid = to_valid_utf8(text);
  std::vector<Segment> segments;
  parts_->matcher.split(valid, parts_->marks, segments);
  std::vector<int64_t> ids;
  for (const Segment& segment : segments) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
      continue;
    }
    const auto part =
        std::string_view(valid).substr(segment.range.begin, segment.range.end - segment.range.begin);
    for_each_word(normalized(part), [&](std::string_view word) { parts_->encode_word(word, ids); });
  }
  return ids;
}

std::optional<int64_t> WordPiece::token_id(std::string_view token) const { return parts_->find(token); }
int64_t WordPiece::size() const { return static_cast<int64_t>(parts_->ids.size()); }

}  // namespace mmada
