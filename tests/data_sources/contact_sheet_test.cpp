// SPDX-License-Identifier: MIT
#include "mmada/vision/contact_sheet.h"

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

using namespace mmada;

namespace {

Image flat(int64_t width, int64_t height, int64_t channels, uint8_t value) {
  return {width, height, channels,
          std::vector<uint8_t>(static_cast<size_t>(width * height * channels), value)};
}

}  // namespace

TEST_CASE("a contact sheet places every picture in its cell, scaled, with the gap between") {
  const Image sheet = contact_sheet({flat(2, 1, 3, 10), flat(1, 1, 1, 20), flat(2, 2, 3, 30)},
                                    {.columns = 2, .scale = 3, .gap = 1, .background = {1, 2, 3}});
  REQUIRE(sheet.width == 2 * 6 + 3);
  REQUIRE(sheet.height == 2 * 6 + 3);
  const auto at = [&](int64_t x, int64_t y) { return sheet.row(y)[x * 3]; };
  CHECK(at(0, 0) == 1);
  CHECK(sheet.row(0)[2] == 3);
  CHECK(at(1, 1) == 10);
  CHECK(at(6, 3) == 10);
  CHECK(at(6, 4) == 1);
  CHECK(at(7, 1) == 1);
  CHECK(at(8, 1) == 20);
  CHECK(at(10, 3) == 20);
  CHECK(at(11, 1) == 1);
  CHECK(at(1, 8) == 30);
  CHECK(at(6, 13) == 30);
  CHECK(at(8, 8) == 1);
}

TEST_CASE("a contact sheet narrower than its columns is only as wide as its pictures") {
  CHECK(contact_sheet({flat(4, 4, 3, 0)}, {.columns = 8, .gap = 2}).width == 8);
  CHECK_THROWS_AS(contact_sheet({}), Error);
}
