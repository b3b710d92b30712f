// SPDX-License-Identifier: MIT
#include "mmada/core/quote.h"

#include <catch2/catch.hpp>

using namespace mmada;

TEST_CASE("exactly the well-formed sequences of Unicode's table 3-7 are UTF-8") {
  // every lead byte with every second byte, completed by valid continuations
  for (int lead = 0; lead < 256; ++lead) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(lead), static_cast<char>(second), '\x80', '\xBF'};
      const bool continues = second >= 0x80 && second <= 0xBF;
      size_t expected = 0;
      if (lead < 0x80)
        expected = 1;
      else if (lead >= 0xC2 && lead <= 0xDF)
        expected = continues ? 2 : 0;
      else if (lead == 0xE0)
        expected = second >= 0xA0 && continues ? 3 : 0;
      else if (lead == 0xED)
        expected = second <= 0x9F && continues ? 3 : 0;
      else if (lead >= 0xE1 && lead <= 0xEF)
        expected = continues ? 3 : 0;
      else if (lead == 0xF0)
        expected = second >= 0x90 && continues ? 4 : 0;
      else if (lead >= 0xF1 && lead <= 0xF3)
        expected = continues ? 4 : 0;
      else if (lead == 0xF4)
        expected = second <= 0x8F && continues ? 4 : 0;
      if (utf8_length(text) != expected)
        FAIL("lead " << lead << " second " << second << ": " << utf8_length(text));
    }
  }
  CHECK(is_utf8(""));
  CHECK(is_utf8("gr\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80"));
  CHECK_FALSE(is_utf8("\xE2\x82"));
  CHECK_FALSE(is_utf8("a\xC3"));
  CHECK_FALSE(is_utf8("\xE2\x28\xA1"));
}

TEST_CASE("printable keeps text, escapes what acts on a terminal and cuts what is long") {
  CHECK(printable("gr\xC3\xBC \xF0\x9F\x98\x80") == "gr\xC3\xBC \xF0\x9F\x98\x80");
  CHECK(printable(std::string_view("a\0b\n\x1b\x7f", 6)) == "a\\x00b\\x0a\\x1b\\x7f");
  CHECK(printable("\xC2\x9B"
                  "1") == "\\xc2\\x9b1");
  CHECK(printable("\xFFz") == "\\xffz");
  CHECK(printable("abcdef", 4) == "abcd...");
  CHECK(printable("abc\xC3\xBC", 4) == "abc...");
  CHECK(quote("a") == "\"a\"");
}
