// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_pieces.h"

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada::bpe {
namespace {

constexpr size_t kMaxLiteralBytes = 16384;  // as of a regular expression: searching takes time for each

/// Calls visit(begin, end, is_match) for the alternating matches and gaps that cover [0, size).
template <class Visit>
void for_each_part(size_t size, const std::vector<Range>& matches, bool invert, Visit&& visit) {
  size_t previous = 0;
  for (const Range match : matches) {
    if (previous != match.begin) visit(previous, match.begin, invert);
    visit(match.begin, match.end, !invert);
    previous = match.end;
  }
  if (previous != size) visit(previous, size, invert);
}

}  // namespace

void append_split(Range piece, const std::vector<Range>& matches, SplitBehavior behavior, bool invert,
                  std::vector<Range>& parts) {
  const size_t first = parts.size();
  bool previous_match = false;
  for_each_part(piece.end - piece.begin, matches, invert, [&](size_t begin, size_t end, bool is_match) {
    const Range part{piece.begin + begin, piece.begin + end};
    const bool has_previous = parts.size() > first;
    bool merge = false;
    switch (behavior) {
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kRemoved:
        if (is_match) return;
        break;
      case SplitBehavior::kMergedWithPrevious:
        merge = is_match && !previous_match;
        break;
      case SplitBehavior::kContiguous:
        merge = is_match == previous_match;
        break;
      // A run of matches is cut one by one; only its last member joins what follows.
      case SplitBehavior::kMergedWithNext:
        merge = !is_match && previous_match;
        break;
    }
    previous_match = is_match;
    if (merge && has_previous) {
      parts.back().end = part.end;
    } else {
      parts.push_back(part);
    }
  });
  const auto is_empty = [](Range part) { return part.begin == part.end; };
  parts.erase(std::remove_if(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end(), is_empty),
              parts.end());
}

Pattern::Pattern(Fields& component, const std::string& key, const std::string& where) {
  Fields pattern = component.object(key);
  if (pattern.has("Regex")) {
    regex_.emplace(pattern.string("Regex"), where);
  } else {
    literal_ = pattern.string("String");
    if (literal_.empty() || literal_.size() > kMaxLiteralBytes)
      component.fail(key, literal_.empty() ? "an empty string" : cat(literal_.size(), " bytes"),
                     cat("1 to ", kMaxLiteralBytes, " bytes"));
  }
  pattern.finish();
}

void Pattern::find_all(std::string_view text, std::vector<Range>& matches, RegexScratch& scratch) const {
  if (regex_) return regex_->find_all(text, matches, scratch);
  matches.clear();
  for (size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size()))
    matches.push_back({at, at + literal_.size()});
}

std::string replace_matches(std::string_view text, const std::vector<Range>& matches,
                            std::string_view content, size_t max_bytes) {
  size_t size = text.size() + matches.size() * content.size();
  for (const Range match : matches) size -= match.end - match.begin;
  MMADA_CHECK(size <= max_bytes, "text: found ", size, " bytes after a replacement, expected at most ",
              max_bytes);
  std::string replaced;
  replaced.reserve(size);
  size_t from = 0;
  for (const Range match : matches) {
    replaced.append(text.substr(from, match.begin - from)).append(content);
    from = match.end;
  }
  return replaced.append(text.substr(from));
}

}  // namespace mmada::bpe
