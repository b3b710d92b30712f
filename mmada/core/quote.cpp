// SPDX-License-Identifier: MIT
#include "mmada/core/quote.h"

#include <cstdint>

namespace mmada {

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F;
  const bool beyond = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text, size_t max_bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string shown;
  while (!text.empty()) {
    const auto first = static_cast<uint8_t>(text[0]);
    size_t length = utf8_length(text);
    const bool c1_control = length == 2 && first == 0xC2 && static_cast<uint8_t>(text[1]) < 0xA0;
    const bool escaped = length == 0 || first < 0x20 || first == 0x7F || c1_control;
    if (escaped) length = 1;
    if (shown.size() + (escaped ? 4 : length) > max_bytes) return shown + "...";
    if (escaped)
      shown += {'\\', 'x', kHex[first >> 4], kHex[first & 15]};
    else
      shown.append(text.substr(0, length));
    text.remove_prefix(length);
  }
  return shown;
}

std::string quote(std::string_view text, size_t max_bytes) { return '"' + printable(text, max_bytes) + '"'; }

}  // namespace mmada
