// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "mmada/core/check.h"

namespace mmada::bpe {
namespace {

constexpr uint32_t kAlphabetEnd =
    256 + 68;  // 188 printable bytes stand for themselves, 68 move to U+0100 and on

struct Alphabet {
  std::array<uint16_t, 256> codepoint_of_byte{};
  std::array<int16_t, kAlphabetEnd> byte_of_codepoint{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (auto& byte : alphabet.byte_of_codepoint) byte = -1;
  uint16_t moved = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const uint16_t codepoint = printable ? static_cast<uint16_t>(byte) : moved++;
    alphabet.codepoint_of_byte[byte] = codepoint;
    alphabet.byte_of_codepoint[codepoint] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

using Codepoints = std::vector<utf8proc_int32_t>;

int combining_class(utf8proc_int32_t codepoint) { return utf8proc_get_property(codepoint)->combining_class; }

Codepoints decomposed(std::string_view text, utf8proc_option_t options) {
  constexpr utf8proc_ssize_t kMost = 32;  // the longest decomposition has 18 (U+FDFA)
  Codepoints codepoints;
  codepoints.reserve(text.size());
  utf8proc_int32_t parts[kMost];
  int boundary = 0;  // of graphemes, which these options do not ask for
  for (size_t at = 0; at < text.size();) {
    const auto codepoint = static_cast<utf8proc_int32_t>(next_codepoint(text, at));
    const auto count = utf8proc_decompose_char(codepoint, parts, kMost, options, &boundary);
    MMADA_CHECK(count >= 0 && count <= kMost, "Unicode normalization failed: ", utf8proc_errmsg(count));
    codepoints.insert(codepoints.end(), parts, parts + count);
  }
  return codepoints;
}

/// The canonical order: marks of one base by their combining class. utf8proc_map does this by exchanging
/// neighbours, which takes ten minutes for a megabyte of marks in the wrong order.
void order_marks(Codepoints& codepoints) {
  const auto is_base = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
  const auto before = [](utf8proc_int32_t a, utf8proc_int32_t b) {
    return combining_class(a) < combining_class(b);
  };
  for (auto begin = codepoints.begin(); begin != codepoints.end();) {
    begin = std::find_if_not(begin, codepoints.end(), is_base);
    const auto end = std::find_if(begin, codepoints.end(), is_base);
    if (!std::is_sorted(begin, end, before)) std::stable_sort(begin, end, before);
    begin = end;
  }
}

/// Length of the valid sequence at text[0], or minus the length of the invalid maximal part.
int sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  // The second byte's range excludes overlong forms, surrogates and values above U+10FFFF (Unicode table
  // 3-7).
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return -1;
  const int length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (int i = 2; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return -i;
  return length;
}

}  // namespace

size_t valid_utf8_prefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const int length = sequence_length(text.substr(position));
    if (length < 0) break;
    position += length;
  }
  return position;
}

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const size_t valid = valid_utf8_prefix(text);
    out.append(text.substr(0, valid));
    if (valid == text.size()) return out;
    text.remove_prefix(valid);
    out += "\xef\xbf\xbd";
    text.remove_prefix(-sequence_length(text));
  }
}

uint32_t next_codepoint(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[position + i])); };
  const uint32_t lead = byte(0);
  uint32_t codepoint = lead;
  size_t length = 1;
  if (lead >= 0xf0) {
    codepoint = (lead & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63), length = 4;
  } else if (lead >= 0xe0) {
    codepoint = (lead & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63), length = 3;
  } else if (lead >= 0x80) {
    codepoint = (lead & 31) << 6 | (byte(1) & 63), length = 2;
  }
  position += length;
  return codepoint;
}

size_t previous_codepoint(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80);
  return end;
}

void append_codepoint(std::string& out, uint32_t codepoint) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(codepoint), bytes);
  out.append(reinterpret_cast<const char*>(bytes), length);
}

bool is_white_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_numeric(uint32_t codepoint) {
  if (codepoint < 0x80) return codepoint >= '0' && codepoint <= '9';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(codepoint));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

void append_lowercase(std::string& out, uint32_t codepoint) {
  if (codepoint == 0x130) {  // the one code point whose unconditional lower case is two (SpecialCasing.txt)
    out += "i\xcc\x87";
    return;
  }
  append_codepoint(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(codepoint))));
}

std::string normal_form(std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatibility = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                     (compatibility ? UTF8PROC_COMPAT : 0));
  Codepoints codepoints = decomposed(text, options);
  order_marks(codepoints);
  const auto length =
      utf8proc_normalize_utf32(codepoints.data(), static_cast<utf8proc_ssize_t>(codepoints.size()), options);
  MMADA_CHECK(length >= 0, "Unicode normalization failed: ", utf8proc_errmsg(length));
  std::string normal;
  normal.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_codepoint(normal, static_cast<uint32_t>(codepoints[static_cast<size_t>(i)]));
  return normal;
}

uint32_t byte_to_codepoint(uint8_t byte) { return kAlphabet.codepoint_of_byte[byte]; }

int codepoint_to_byte(uint32_t codepoint) {
  return codepoint < kAlphabetEnd ? kAlphabet.byte_of_codepoint[codepoint] : -1;
}

void append_byte_alphabet(std::string& out, std::string_view text) {
  for (const char c : text) {
    const uint32_t codepoint = byte_to_codepoint(static_cast<uint8_t>(c));
    if (codepoint < 0x80) {
      out += static_cast<char>(codepoint);
    } else {  // the alphabet ends below U+0800: two bytes
      out += static_cast<char>(0xc0 | codepoint >> 6);
      out += static_cast<char>(0x80 | (codepoint & 63));
    }
  }
}

std::string alphabet_to_bytes(std::string_view token) {
  std::string bytes;
  for (size_t position = 0; position < token.size();) {
    const int byte = codepoint_to_byte(next_codepoint(token, position));
    if (byte < 0) return std::string(token);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace mmada::bpe
