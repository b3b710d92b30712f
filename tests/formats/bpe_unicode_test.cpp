// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_unicode.h"

#include <utf8proc.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>

#include "mmada/core/rng.h"

using namespace mmada;
using bpe::NormalForm;

namespace {

/// What utf8proc makes of a text by itself, which takes quadratic time.
std::string by_the_library(const std::string& text, NormalForm form) {
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatibility = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  utf8proc_uint8_t* result = nullptr;
  const auto length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
      &result,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                     (compatibility ? UTF8PROC_COMPAT : 0)));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  REQUIRE(length >= 0);
  return std::string(reinterpret_cast<const char*>(result), static_cast<size_t>(length));
}

constexpr NormalForm kForms[] = {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd};

}  // namespace

TEST_CASE(
    "normal forms of texts that mix bases, marks, jamo and compatibility characters are the library's") {
  // marks of the classes 1, 202, 220, 230, 240 and 0; letters with and without compositions; jamo and
  // syllables
  const uint32_t kCodepoints[] = {'a',    'e',    'q',    0x334,  0x327,  0x323,   0x301,   0x308,  0x345,
                                  0x34f,  0xe9,   0x1ea5, 0x1100, 0x1161, 0x11a8,  0xac00,  0xac01, 0xfb01,
                                  0xfdfa, 0x2126, 0x212b, 0x958,  0x9bc,  0x1d15e, 0x1d165, 0x2adc, 0x3000};
  Rng random(1, "normal forms");
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (uint64_t length = random.below(12); length > 0; --length)
      bpe::append_codepoint(text, kCodepoints[random.below(std::size(kCodepoints))]);
    for (const NormalForm form : kForms)
      if (bpe::normal_form(text, form) != by_the_library(text, form)) FAIL("differs: " << text);
  }
}

TEST_CASE("normal forms of every single character are the library's") {
  for (uint32_t codepoint = 1; codepoint < 0x110000; ++codepoint) {
    if (codepoint >= 0xd800 && codepoint < 0xe000) continue;
    if (codepoint == 0x30000) codepoint = 0xe0000;  // nothing is assigned in between
    if (codepoint == 0xe1000) break;
    std::string text = "a";
    bpe::append_codepoint(text, codepoint);
    for (const NormalForm form : kForms)
      if (bpe::normal_form(text, form) != by_the_library(text, form))
        FAIL("differs: U+" << std::hex << codepoint);
  }
}
