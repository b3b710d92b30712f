// SPDX-License-Identifier: MIT
#include "mmada/data/brace_expansion.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

constexpr size_t kMostNames = 1'000'000;
using Names = std::vector<std::string>;

std::optional<int64_t> whole(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::abs(value) > 1'000'000'000'000'000)
    return std::nullopt;
  return value;
}

bool padded(std::string_view number) {
  if (number.starts_with('-')) number.remove_prefix(1);
  return number.size() > 1 && number[0] == '0';
}

std::string spelled(int64_t value, size_t width) {
  std::string digits = std::to_string(std::abs(value));
  const std::string sign = value < 0 ? "-" : "";
  if (digits.size() + sign.size() < width) digits.insert(0, width - digits.size() - sign.size(), '0');
  return sign + digits;
}

class Expansion {
 public:
  Expansion(const std::string& pattern, const std::string& source) : pattern_(pattern), source_(source) {}

  Names run() {
    Names names = sequence(false);
    if (at_ < pattern_.size()) fail("a closing brace without an opening one");
    return names;
  }

 private:
  [[noreturn]] void fail(const std::string& found) const {
    throw Error(cat(source_, ": ", quote(pattern_), ": found ", found,
                    ", expected lists {a,b} and ranges {000..012}, at most ", kMostNames, " names"));
  }

  /// Text and groups up to the end, or to a comma or closing brace of the group it stands in.
  Names sequence(bool inside) {
    Names names = {""};
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '}' || (inside && c == ',')) break;
      ++at_;
      if (c == '{')
        append(names, group());
      else
        for (auto& name : names) name += c;
    }
    return names;
  }

  void append(Names& names, const Names& endings) const {
    if (names.size() * endings.size() > kMostNames) fail(cat(names.size() * endings.size(), " names"));
    Names longer;
    longer.reserve(names.size() * endings.size());
    for (const auto& name : names)
      for (const auto& ending : endings) longer.push_back(name + ending);
    names = std::move(longer);
  }

  /// What follows an opening brace, up to and with its closing one.
  Names group() {
    const size_t begin = at_;
    if (++depth_ > 64) fail("groups 64 deep");
    Names names = sequence(true);
    bool list = false;
    while (at_ < pattern_.size() && pattern_[at_] == ',') {
      list = true;
      ++at_;
      for (auto& name : sequence(true)) names.push_back(std::move(name));
      if (names.size() > kMostNames) fail(cat(names.size(), " names"));
    }
    if (at_ == pattern_.size()) fail("an opening brace without a closing one");
    --depth_;
    ++at_;
    if (list) return names;
    return range(std::string_view(pattern_).substr(begin, at_ - 1 - begin));
  }

  Names range(std::string_view text) const {
    const size_t dots = text.find("..");
    if (dots == std::string_view::npos) fail(cat("{", text, "}"));
    const std::string_view first = text.substr(0, dots);
    std::string_view last = text.substr(dots + 2), step_text = "1";
    if (const size_t more = last.find(".."); more != std::string_view::npos) {
      step_text = last.substr(more + 2);
      last = last.substr(0, more);
    }
    const auto from = whole(first), to = whole(last), step = whole(step_text);
    if (!from || !to || !step || *step == 0) fail(cat("{", text, "}"));
    const int64_t stride = std::abs(*step), count = std::abs(*to - *from) / stride + 1;
    if (static_cast<size_t>(count) > kMostNames) fail(cat(count, " names"));
    const size_t width = padded(first) || padded(last) ? std::max(first.size(), last.size()) : 0;
    Names names;
    for (int64_t i = 0; i < count; ++i)
      names.push_back(spelled(*from + (*from <= *to ? i : -i) * stride, width));
    return names;
  }

  const std::string& pattern_;
  const std::string& source_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern, const std::string& source) {
  return Expansion(pattern, source).run();
}

std::vector<std::string> expand_paths(Fields& fields, const std::string& key, const std::string& source,
                                      const std::vector<std::string>& endings) {
  std::string expected = "names that end in ";
  for (const auto& ending : endings) expected += (ending == endings[0] ? "" : " or ") + ending;
  const Json& value = fields.raw(key);
  std::vector<std::string> patterns;
  if (value.is_string())
    patterns = {value.get<std::string>()};
  else if (value.is_array())
    patterns = fields.strings(key);
  else
    fields.fail(key, found_text(value),
                "a path, a pattern such as data/{000..012}" + endings[0] + ", or a list");
  std::vector<std::string> paths;
  for (const auto& pattern : patterns)
    for (auto& path : expand_braces(pattern, cat(source, ": field `", key, "`"))) {
      const auto fits = [&](const auto& ending) { return path.ends_with(ending); };
      if (std::ranges::none_of(endings, fits)) fields.fail(key, path, expected);
      paths.push_back(std::move(path));
    }
  if (paths.empty()) fields.fail(key, "an empty list", "at least one path");
  return paths;
}

}  // namespace mmada
