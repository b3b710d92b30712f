// SPDX-License-Identifier: MIT
#include "mmada/core/base64.h"

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

using namespace mmada;

TEST_CASE("base64 goes both ways and refuses what is none") {
  // RFC 4648 section 10
  const std::pair<const char*, const char*> known[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : known) {
    CHECK(encode_base64(bytes) == text);
    CHECK(decode_base64(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(decode_base64(encode_base64(all)) == all);
  for (const char* bad : {"Zg", "Z===", "Zg=a", "Zm 9", "Zh==", "Zm9=", "===="}) {
    INFO(bad);
    CHECK_THROWS_WITH(decode_base64(bad), Catch::Contains("base64: found"));
  }
}
