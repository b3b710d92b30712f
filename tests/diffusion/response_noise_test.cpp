// SPDX-License-Identifier: MIT
#include "mmada/diffusion/response_noise.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <iterator>
#include <numeric>
#include <set>

#include "mmada/core/check.h"

namespace {

using namespace mmada;
using Indices = std::vector<int64_t>;

Indices all(int64_t tokens) {
  Indices indices(tokens);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

std::vector<MaskedResponse> copies(ResponseNoise kind, int64_t tokens, double share, int64_t response = 0) {
  return mask_response({.kind = kind}, tokens, share, {}, {.seed = 3, .outer_step = 7, .response = response});
}

}  // namespace

TEST_CASE("times follow the paper's formula, and on request its worked example, which contradicts it") {
  NoiseLevels levels{.updates = 5};
  CHECK(noise_times(levels, 100) == Indices{100, 325, 550, 775, 1000});
  CHECK(noise_times(levels, 0) == Indices{0, 250, 500, 750, 1000});
  levels.spacing = NoiseSpacing::kExample;
  CHECK(noise_times(levels, 100) == Indices{100, 300, 500, 700, 900});
  CHECK(noise_times(levels, 500) == Indices{500, 700, 900, 1000, 1000});
  levels = {.updates = 1};
  CHECK(noise_times(levels, 100) == Indices{1000});
}

TEST_CASE("shares start anywhere, end with everything masked, and are the same whenever they are asked for") {
  const NoiseLevels levels{.updates = 4};
  std::set<double> firsts;
  double sum = 0;
  for (int64_t response = 0; response < 400; ++response) {
    const std::vector<double> shares = noise_shares(levels, 5, 2, response);
    REQUIRE(shares.size() == 4);
    CHECK(shares.back() == 1.0);
    CHECK(std::ranges::is_sorted(shares));
    CHECK(shares.front() > 0);
    CHECK(shares == noise_shares(levels, 5, 2, response));
    firsts.insert(shares.front()), sum += shares.front();
  }
  CHECK(firsts.size() > 250);
  CHECK(std::abs(sum / 400 - 0.5) < 5 * std::sqrt(1.0 / 12 / 400));
  CHECK(noise_shares(levels, 5, 3, 0) != noise_shares(levels, 5, 2, 0));
}

TEST_CASE("the ablations draw every share alone, or fix it") {
  const std::vector<double> random = noise_shares({.spacing = NoiseSpacing::kRandom, .updates = 64}, 5, 2, 0);
  CHECK_FALSE(std::ranges::is_sorted(random));
  CHECK(std::ranges::all_of(random, [](double share) { return share > 0 && share <= 1; }));
  CHECK(noise_shares({.spacing = NoiseSpacing::kFixed, .updates = 2, .fixed_share = 0.3}, 5, 2, 0) ==
        std::vector<double>{0.3, 0.3});
  CHECK_THROWS_WITH(noise_shares({.updates = 0}, 5, 2, 0), Catch::Contains("found 0 updates"));
  CHECK_THROWS_WITH(noise_spacing_from_name("even"), Catch::Contains("found \"even\", expected formula"));
}

TEST_CASE("a share of the tokens is masked, each alone, and never none") {
  int64_t masked = 0;
  std::vector<int64_t> by_token(10);
  constexpr int64_t kResponses = 2000;
  for (int64_t response = 0; response < kResponses; ++response) {
    const auto made = copies(ResponseNoise::kStructured, 10, 0.3, response);
    REQUIRE(made.size() == 1);
    CHECK(made[0].masked == made[0].scored);
    CHECK(std::ranges::is_sorted(made[0].masked));
    masked += std::ssize(made[0].masked);
    for (const int64_t i : made[0].masked) ++by_token[i];
  }
  const double expected = 3 + std::pow(0.7, 10);  // where nothing was drawn one token is
  CHECK(std::abs(static_cast<double>(masked) / kResponses - expected) <
        5 * std::sqrt(10 * 0.21 / kResponses));
  for (const int64_t count : by_token)
    CHECK(std::abs(count - kResponses * expected / 10) < 5 * std::sqrt(kResponses * 0.21));
  CHECK(copies(ResponseNoise::kStructured, 10, 1e-9)[0].masked.size() == 1);
  CHECK(copies(ResponseNoise::kStructured, 10, 1.0)[0].masked == all(10));
}

TEST_CASE("masks depend on seed, step, response and update, and on nothing else") {
  constexpr int64_t kTokens = 400;
  std::vector<ResponsePlace> places(5, {.seed = 3, .outer_step = 7, .response = 2, .update = 1});
  ++places[1].seed, ++places[2].outer_step, ++places[3].response, ++places[4].update;
  const auto mask = [](const ResponsePlace& place) {
    return mask_response({}, kTokens, 0.5, {}, place)[0].masked;
  };
  std::vector<Indices> masks;
  for (const ResponsePlace& place : places) masks.push_back(mask(place));
  for (size_t i = places.size(); i-- > 0;) CHECK(mask(places[i]) == masks[i]);
  for (size_t i = 0; i < masks.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      INFO(i << " and " << j);
      Indices apart;
      std::ranges::set_symmetric_difference(masks[i], masks[j], std::back_inserter(apart));
      CHECK(std::abs(static_cast<double>(apart.size()) / kTokens - 0.5) < 5 * std::sqrt(0.25 / kTokens));
    }
}

TEST_CASE("coupled copies score every token once") {
  for (int64_t response = 0; response < 50; ++response) {
    Indices scored;
    for (const MaskedResponse& copy : copies(ResponseNoise::kCoupled, 9, 0.5, response)) {
      CHECK(copy.masked == copy.scored);
      scored.insert(scored.end(), copy.scored.begin(), copy.scored.end());
    }
    std::ranges::sort(scored);
    CHECK(scored == all(9));
  }
  CHECK(copies(ResponseNoise::kCoupled, 9, 1.0).size() == 1);  // its complement would score nothing
}

TEST_CASE("along a trace each group is scored with it and all that came later masked") {
  const std::vector<int32_t> steps = {4, 0, 4, 2, 9};
  const auto one = mask_response({.kind = ResponseNoise::kTrace}, 5, 1, steps, {});
  REQUIRE(one.size() == 4);
  CHECK(one[0].masked == all(5));
  CHECK(one[0].scored == Indices{1});
  CHECK(one[1].masked == Indices{0, 2, 3, 4});
  CHECK(one[1].scored == Indices{3});
  CHECK(one[2].scored == Indices{0, 2});
  CHECK(one[3].masked == Indices{4});
  const auto two = mask_response({.kind = ResponseNoise::kTrace, .shrink = 3}, 5, 1, steps, {});
  REQUIRE(two.size() == 2);
  CHECK(two[0].scored == Indices{0, 1, 2, 3});
  CHECK(two[1].masked == Indices{4});
  CHECK_THROWS_WITH(mask_response({.kind = ResponseNoise::kTrace}, 4, 1, steps, {}),
                    Catch::Contains("steps of 5 tokens"));
  CHECK_THROWS_WITH(mask_response({}, 0, 1, {}, {}), Catch::Contains("response of 0 tokens"));
}
