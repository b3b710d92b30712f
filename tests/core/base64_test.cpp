// SPDX-License-Identifier: MIT
#include "mmada/core/base64.h"

#include <catch2/catch.hpp>

#include "mmada/core/rng.h"

namespace {

using namespace mmada;

TEST_CASE("the examples of RFC 4648") {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    CHECK(base64(bytes) == text);
    CHECK(from_base64(text) == bytes);
  }
}

TEST_CASE("any bytes come back") {
  Rng rng(7, "base64");
  for (size_t size = 0; size < 70; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(rng.below(256));
    CHECK(from_base64(base64(bytes)) == bytes);
  }
}

TEST_CASE("what is no such encoding is refused") {
  for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zm9*", "Zm=v", "Zm9v\n", "Z g="}) {
    INFO(text);
    CHECK_FALSE(from_base64(text));
  }
}

}  // namespace
