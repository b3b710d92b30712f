// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/core/rng.h"
#include "mmada/text/chat.h"

namespace mmada {

/// "<person>", the mark that CC12M puts for names, becomes "a person", "someone" or "somebody", drawn from
/// `rng`; a run of them, joined by commas, blanks and "and", becomes "people". A blank is added where the
/// words would touch a letter or digit (SPEC 6.6; the published code always adds one).
std::string replace_person_tokens(std::string_view text, Rng& rng);

/// The text up to its first full stop, question or exclamation mark that a blank or the end follows, without
/// white space around it; all of it where there is none.
std::string first_sentence(std::string_view text);

/// Without a beginning such as "The image features " or "In this image, we see " (15 of them, SPEC 6.6). The
/// published code takes them out wherever they stand.
std::string without_caption_prefix(std::string_view caption);

/// What a caption is wanted for.
enum class CaptionUse {
  kPlain,          ///< as it stands
  kGeneration,     ///< t2i: its first sentence half of the time, then without_caption_prefix
  kUnderstanding,  ///< mmu: as the answer to a caption question drawn from a list (caption_text)
};

/// SPEC 6.6's rules for captions. Options of every source of captions:
///
///  - "use": "plain" (default), "generation" or "understanding"
///  - "questions": JSON file, a list of caption questions for "understanding"; default: kCaptionQuestion
///  alone
///  - "terminator": "token" (default, <|eot_id|>) or "literal" (<eot_id>, as published), for "understanding"
///  and tables of reasoning
class CaptionRules {
 public:
  CaptionRules(Fields& fields, uint64_t seed);
  /// The text of a sample with these captions (at least one; one is drawn where there are more). Every choice
  /// depends on (seed, n) alone.
  std::string apply(const std::vector<std::string>& captions, uint64_t n) const;
  CaptionUse use() const { return use_; }
  TurnTerminator terminator() const { return terminator_; }

 private:
  CaptionUse use_;
  std::vector<std::string> questions_;
  TurnTerminator terminator_;
  uint64_t seed_;
};
/// The option "terminator" above.
TurnTerminator parse_terminator(Fields& fields);

/// Captions kept apart from their pictures: a folder, a JSON object from key to a caption or a list of them,
/// or a table of reasoning (.csv, read_reasoning_table), whose rows are whole conversations.
class CaptionMap {
 public:
  /// `terminator`: of a table's questions.
  explicit CaptionMap(std::string path, TurnTerminator terminator = TurnTerminator::kToken);
  /// Captions of a picture: in a folder the first line of KEY.txt, else all of KEY.caption, else all of
  /// GROUP/KEY.caption (GROUP: the shard's name without ending; may be empty). None: an empty list. Keys are
  /// relative names that stay inside the folder. In a table: its rows about the picture KEY, with whatever
  /// ending or none, else about what stands behind the last slash of KEY, as the published code asks.
  std::vector<std::string> find(const std::string& key, const std::string& group = "") const;
  bool is_table() const { return table_; }

 private:
  std::string path_;
  bool folder_ = false, table_ = false;
  std::map<std::string, std::vector<std::string>> captions_;
};
/// The map that a source's option "captions" names. A table is refused where "use" would put its
/// conversations into another.
CaptionMap open_captions(const std::string& path, const CaptionRules& rules, const Fields& fields);

}  // namespace mmada
