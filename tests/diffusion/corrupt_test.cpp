// SPDX-License-Identifier: MIT
#include "mmada/diffusion/corrupt.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "mmada/core/check.h"
#include "tests/diffusion/small_layout.h"

namespace {

using namespace mmada;
using namespace mmada::test;

Row image_row(int64_t tokens) { return t2i_row(small_layout(), {10, 11}, TokenIds(tokens, 70), 6); }

NoisedRow noised_image(int64_t tokens, const ImageNoise& noise, double t, uint64_t stream = 0) {
  Rng rng(3, "test", stream);
  return noise_image_row(small_layout(), image_row(tokens), noise, t, rng);
}

int64_t masks(const NoisedRow& row) { return std::count(row.ids.begin(), row.ids.end(), kMask); }

}  // namespace

TEST_CASE("image noise masks exactly the scheduled number of slots, halves rounded to even") {
  const ImageNoise linear{.schedule = Schedule("linear")};
  const struct {
    int64_t tokens;
    double t;
    int64_t expected;
  } cases[] = {{5, 0.5, 2}, {7, 0.5, 4}, {9, 0.5, 4}, {16, 0.25, 12}, {16, 0.0, 16}, {16, 0.999, 1}};
  for (const auto& c : cases)
    for (uint64_t stream = 0; stream < 20; ++stream) {
      const NoisedRow row = noised_image(c.tokens, linear, c.t, stream);
      CHECK(masks(row) == c.expected);
      CHECK(static_cast<int64_t>(row.predicted.size()) == c.expected);
      CHECK(row.mask_probability == static_cast<double>(c.expected) / static_cast<double>(c.tokens));
    }
  CHECK(masks(noised_image(16, {}, 0.5)) == std::lround(16 * std::cos(M_PI / 4)));
}

TEST_CASE("image noise keeps a floor, an exponent, and everything outside the slots") {
  CHECK(masks(noised_image(16, {.schedule = Schedule("linear"), .min_masking_rate = 0.5}, 0.9)) == 8);
  CHECK(masks(noised_image(16, {.schedule = Schedule("linear"), .time_exponent = 2.0}, 0.5)) == 12);
  const NoisedRow row = noised_image(16, {}, 0.0);
  const Row clean = image_row(16);
  CHECK(row.clean == clean.ids);
  for (size_t i = 0; i < row.ids.size(); ++i)
    CHECK(row.ids[i] == (clean.image.contains(static_cast<int64_t>(i)) ? kMask : clean.ids[i]));
}

TEST_CASE("image noise chooses every slot equally often") {
  std::vector<int> hits(8);
  for (uint64_t stream = 0; stream < 4000; ++stream)
    for (const int64_t p : noised_image(8, {.schedule = Schedule("linear")}, 0.75, stream).predicted)
      ++hits[p - 8];
  for (const int count : hits)
    CHECK(std::abs(count - 1000) < 110);  // 4 standard deviations of 4000 draws at 1/4
}

TEST_CASE("predict_all_tokens covers visible slots without masking more") {
  const NoisedRow row = noised_image(16, {.schedule = Schedule("linear"), .predict_all_tokens = true}, 0.75);
  CHECK(masks(row) == 4);
  CHECK(row.predicted.size() == 16);
  CHECK(row.mask_probability == 0.25);
}

TEST_CASE("a contiguous mask is one rectangle of at least the scheduled size") {
  const ImageNoise noise{.schedule = Schedule("linear"), .contiguous_probability = 1.0, .grid_columns = 6};
  std::set<int64_t> widths;
  for (uint64_t stream = 0; stream < 200; ++stream) {
    const NoisedRow row = noised_image(24, noise, 0.75, stream);
    std::set<int64_t> ys, xs;
    for (const int64_t p : row.predicted)
      ys.insert((p - row.image.begin) / 6), xs.insert((p - row.image.begin) % 6);
    CHECK(ys.size() * xs.size() == row.predicted.size());
    CHECK(*ys.rbegin() - *ys.begin() + 1 == static_cast<int64_t>(ys.size()));
    CHECK(*xs.rbegin() - *xs.begin() + 1 == static_cast<int64_t>(xs.size()));
    CHECK(row.predicted.size() >= 6);
    widths.insert(static_cast<int64_t>(xs.size()));
  }
  CHECK(widths.size() >= 3);
  CHECK_THROWS_WITH(noised_image(24, {.contiguous_probability = 1.0}, 0.5), Catch::Contains("grid_columns"));
}

TEST_CASE("text noise masks answers with probability p and never the prompt") {
  const Row row = lm_chat_row(small_layout(), {10, 11, kEnd, 12, 13}, 64);
  const double t = 0.4, floor = 0.1, p = (1 - floor) * t + floor;
  int64_t masked = 0;
  for (uint64_t stream = 0; stream < 500; ++stream) {
    Rng rng(3, "test", stream);
    const NoisedRow noised = noise_text_row(small_layout(), row, {.floor = floor}, t, rng);
    CHECK(noised.mask_probability == p);
    CHECK(noised.answer_length == 60);
    CHECK(std::equal(row.ids.begin(), row.ids.begin() + 4, noised.ids.begin()));
    for (const int64_t position : noised.predicted) CHECK(noised.ids[position] == kMask);
    CHECK(masks(noised) == static_cast<int64_t>(noised.predicted.size()));
    masked += masks(noised);
  }
  CHECK(std::abs(masked / 30000.0 - p) < 4 * std::sqrt(p * (1 - p) / 30000.0));
}

TEST_CASE("a row without prompt is noised as a whole, an r2i row in text and image") {
  Rng rng(1, "test");
  const NoisedRow lm =
      noise_text_row(small_layout(), lm_row(small_layout(), {10}, 9), {.floor = 1.0}, 0.5, rng);
  CHECK(lm.predicted.size() == 9);
  CHECK(lm.answer_length == 9);
  const Row r2i = r2i_row(small_layout(), {kStart, kUser, kEnd, 10}, TokenIds(4, 70), 7);
  const NoisedRow noised = noise_text_row(small_layout(), r2i, {.floor = 1.0}, 0.5, rng);
  CHECK(noised.predicted == std::vector<int64_t>{5, 6, 7, 9, 10, 11, 12});
}

TEST_CASE("noise is a pure function of seed, flow, step and row") {
  const auto draw = [](uint64_t seed, const std::string& flow, int64_t step, int64_t row) {
    return row_stream(seed, "mask", flow, step, row).next_u64();
  };
  const std::set<uint64_t> different = {draw(1, "t2i", 0, 0), draw(2, "t2i", 0, 0), draw(1, "mmu", 0, 0),
                                        draw(1, "t2i", 1, 0), draw(1, "t2i", 0, 1)};
  CHECK(different.size() == 5);
  CHECK(draw(1, "t2i", 5, 3) == draw(1, "t2i", 5, 3));
  CHECK_THROWS_AS(row_stream(1, "mask", "t2i", 0, 1 << 20), Error);
}

TEST_CASE("stratified times fall one into each interval, plain times are independent of the row count") {
  for (int64_t step = 0; step < 20; ++step) {
    std::vector<double> times = draw_times(1, "t2i", step, 8, true);
    std::sort(times.begin(), times.end());
    for (size_t i = 1; i < times.size(); ++i) CHECK(times[i] - times[i - 1] == Approx(0.125));
    CHECK(times.front() >= 0.0);
    CHECK(times.back() < 1.0);
  }
  const std::vector<double> few = draw_times(1, "t2i", 3, 2, false), many = draw_times(1, "t2i", 3, 8, false);
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(draw_times(1, "t2i", 3, 8, true) != draw_times(1, "t2i", 4, 8, true));
  CHECK(draw_times(1, "t2i", 3, 0, true).empty());
}
