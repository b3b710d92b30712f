// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_pretokenizer.h"

#include "mmada/formats/bpe_unicode.h"

namespace mmada::bpe {
namespace {

/// GPT-2's pattern, which ByteLevel applies under use_regex.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Whitespace's words. The package runs this one by Rust's regex crate, whose \w has the join controls too.
constexpr std::string_view kWhitespacePattern = R"([\w\u200c\u200d]+|[^\w\s\u200c\u200d]+)";

/// Cuts every piece at matches found by find(text, matches).
template <class Find>
void split_pieces(Pieces& pieces, Scratch& scratch, SplitBehavior behavior, bool invert, Find&& find) {
  scratch.ranges.clear();
  for (const Range piece : pieces.ranges) {
    find(pieces.view(piece), scratch.matches);
    append_split(piece, scratch.matches, behavior, invert, scratch.ranges);
  }
  pieces.ranges.swap(scratch.ranges);
}

template <class Finder>
class SplitStep final : public PreTokenizerStep {
 public:
  SplitStep(Finder finder, SplitBehavior behavior, bool invert)
      : finder_(std::move(finder)), behavior_(behavior), invert_(invert) {}
  void apply(Pieces& pieces, Scratch& scratch) const override {
    split_pieces(pieces, scratch, behavior_, invert_,
                 [&](std::string_view text, std::vector<Range>& matches) {
                   finder_.find_all(text, matches, scratch.regex);
                 });
  }

 private:
  Finder finder_;
  SplitBehavior behavior_;
  bool invert_;
};

/// Finds single code points with a property.
struct CodePointFinder {
  bool (*is_match)(uint32_t);
  void find_all(std::string_view text, std::vector<Range>& matches, RegexScratch&) const {
    matches.clear();
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (is_match(next_codepoint(text, at))) matches.push_back({begin, at});
    }
  }
};

class PrefixSpaceStep final : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces, Scratch& scratch) const override {
    std::string& text = scratch.text;
    text.clear();
    for (Range& piece : pieces.ranges) {
      const size_t begin = text.size();
      const std::string_view view = pieces.view(piece);
      if (!view.starts_with(' ')) text += ' ';
      text += view;
      piece = {begin, text.size()};
    }
    pieces.text.swap(text);
  }
};

class ByteAlphabetStep final : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces, Scratch& scratch) const override {
    std::string& text = scratch.text;
    text.clear();
    for (Range& piece : pieces.ranges) {
      const size_t begin = text.size();
      append_byte_alphabet(text, pieces.view(piece));
      piece = {begin, text.size()};
    }
    pieces.text.swap(text);
  }
};

template <class Finder>
std::unique_ptr<PreTokenizerStep> split_step(Finder finder, SplitBehavior behavior, bool invert = false) {
  return std::make_unique<SplitStep<Finder>>(std::move(finder), behavior, invert);
}

SplitBehavior behavior_of(const std::string& name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return SplitBehavior::kIsolated;
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& json, const Place& place) {
  if (!json.is_null()) add(json, place);
}

void PreTokenizer::add(const Json& json, const Place& place) {
  if (byte_units_) {  // the ByteLevel before turns out not to be the last step
    steps_.push_back(std::make_unique<ByteAlphabetStep>());
    byte_units_ = false;
  }
  Fields fields(json, place.source, place.path);
  const std::string type =
      fields.choice("type", {"ByteLevel", "Split", "Digits", "Whitespace", "WhitespaceSplit", "Sequence"});
  if (type == "ByteLevel") add_byte_level(fields, place);
  if (type == "Split") {
    Pattern pattern(fields, "pattern", place.text());
    const auto behavior = behavior_of(fields.choice(
        "behavior", {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}));
    steps_.push_back(split_step(std::move(pattern), behavior, fields.boolean("invert")));
  }
  if (type == "Digits") {
    const bool single = fields.boolean("individual_digits");
    steps_.push_back(split_step(CodePointFinder{is_numeric},
                                single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous));
  }
  if (type == "Whitespace")
    steps_.push_back(split_step(Regex(kWhitespacePattern, place.text()), SplitBehavior::kRemoved, true));
  if (type == "WhitespaceSplit")
    steps_.push_back(split_step(CodePointFinder{is_white_space}, SplitBehavior::kRemoved));
  if (type == "Sequence") {
    const Json& list = fields.raw("pretokenizers");
    if (!list.is_array()) fields.fail("pretokenizers", found_text(list), "a list");
    for (size_t i = 0; i < list.size(); ++i) add(list[i], place.item("pretokenizers", i));
  }
  fields.finish();
}

void PreTokenizer::add_byte_level(Fields& fields, const Place& place) {
  fields.boolean("trim_offsets", true);  // moves offsets, which nobody here asks for, not ids
  if (fields.boolean("add_prefix_space")) steps_.push_back(std::make_unique<PrefixSpaceStep>());
  if (fields.boolean("use_regex", true))
    steps_.push_back(split_step(Regex(kGpt2Pattern, place.text()), SplitBehavior::kIsolated));
  byte_units_ = true;
}

void PreTokenizer::apply(Pieces& pieces, Scratch& scratch) const {
  for (const auto& step : steps_) step->apply(pieces, scratch);
}

}  // namespace mmada::bpe
