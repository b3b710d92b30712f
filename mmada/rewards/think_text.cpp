// SPDX-License-Identifier: MIT
#include "mmada/rewards/think_text.h"

#include <algorithm>

namespace mmada {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>", kSpaces = " \t\r\n";

size_t count(std::string_view text, std::string_view mark) {
  size_t found = 0;
  for (size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + mark.size()))
    ++found;
  return found;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

ThinkText read_think_text(std::string_view response) {
  ThinkText parts;
  parts.answer = response;
  const size_t open = response.find(kOpen), close = response.rfind(kClose);
  if (close != std::string_view::npos) parts.answer = response.substr(close + kClose.size());
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + kOpen.size())
    return parts;
  parts.reasoning = response.substr(open + kOpen.size(), close - open - kOpen.size());
  parts.well_formed = count(response, kOpen) == 1 && count(response, kClose) == 1 &&
                      trimmed(response.substr(0, open)).empty() && !trimmed(parts.reasoning).empty() &&
                      !trimmed(parts.answer).empty();
  return parts;
}

}  // namespace mmada
