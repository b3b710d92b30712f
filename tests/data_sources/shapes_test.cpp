// SPDX-License-Identifier: MIT
#include "mmada/data/shapes.h"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "tests/data_sources/shapes_oracle.h"

using namespace mmada;

TEST_CASE("training never shows a held-out pair or sum and held-out samples always do") {
  const ShapesOptions options;
  std::set<std::pair<int, int>> held;
  std::set<std::pair<int64_t, int64_t>> trained, unseen_sums;
  for (int i = 0; i < 10000; ++i) {
    const auto train = shapes_sample(options, ShapesSplit::kTrain, 5, i);
    for (const auto& object : train.scene) REQUIRE((object.shape + object.color) % 8 != 0);
    const auto problem = arithmetic_sample(options, ShapesSplit::kTrain, 5, i);
    trained.insert({problem.a, problem.b});
    const auto other = shapes_sample(options, ShapesSplit::kHeldOut, 5, i);
    int count = 0;
    for (const auto& object : other.scene)
      if ((object.shape + object.color) % 8 == 0) ++count, held.insert({object.shape, object.color});
    REQUIRE(count == 1);
    const auto unseen = arithmetic_sample(options, ShapesSplit::kHeldOut, 5, i);
    unseen_sums.insert({unseen.a, unseen.b});
  }
  CHECK(held == std::set<std::pair<int, int>>{{0, 0}, {1, 7}, {2, 6}, {3, 5}});
  for (const auto& sum : unseen_sums) REQUIRE(trained.count(sum) == 0);
}

TEST_CASE("a tenth of the sums is held out and training still meets every pair of digits in either place") {
  const ShapesOptions options;
  int held = 0;
  std::set<std::pair<int64_t, int64_t>> units, tens;
  for (int64_t a = 10; a < 100; ++a)
    for (int64_t b = 10; b < 100; ++b) {
      held += options.sum_held_out(a, b);
      if (options.sum_held_out(a, b)) continue;
      units.insert({a % 10, b % 10});
      tens.insert({a / 10, b / 10});
    }
  CHECK(held > 700);
  CHECK(held < 920);
  CHECK(units.size() == 100);
  CHECK(tens.size() == 81);
}

TEST_CASE("comparisons mostly meet different sizes where the scene has them") {
  const ShapesOptions options;
  int yes = 0, asked = 0;  // half the pairs differ in size, half of those would be "yes": a quarter
  for (int i = 0; i < 20000; ++i) {
    const auto question = shapes_sample(options, ShapesSplit::kTrain, 3, i).question;
    if (question.kind != QuestionKind::kCompare) continue;
    ++asked;
    yes += question.answer == "yes";
  }
  CHECK(yes > asked * 0.27);
  CHECK(yes < asked * 0.5);
}

TEST_CASE("tokenizer pictures with exact cells hold no held-out pair either") {
  // The rule is checked on the drawing: a red circle of an exact size at an exact place would cover these
  // pixels.
  const ShapesOptions options;
  for (int size = 0; size < 2; ++size)
    for (int cell = 0; cell < 4; ++cell) {
      const Image whole = render_scene(options, {{.shape = 0, .color = 0, .size = size, .cell = cell}});
      for (int i = 0; i < 300; ++i) {
        const Image free = free_picture(options, 9, i);
        bool same = true;
        for (int y = cell / 2 * 32; y < cell / 2 * 32 + 32; ++y)
          same &= std::equal(whole.row(y) + cell % 2 * 96, whole.row(y) + cell % 2 * 96 + 96,
                             free.row(y) + cell % 2 * 96);
        REQUIRE_FALSE(same);
      }
    }
}

TEST_CASE("every answer and its reasoning follow from the scene") {
  const ShapesOptions options;
  std::map<std::string, int> kinds;
  for (int i = 0; i < 4000; ++i) {
    const auto split = i % 2 == 0 ? ShapesSplit::kTrain : ShapesSplit::kHeldOut;
    const auto sample = shapes_sample(options, split, 21, i);
    const Json scene = scene_json(options, sample.scene);
    const auto expected = oracle::answer(scene, sample.question.text);
    INFO(scene.dump() << " " << sample.question.text);
    REQUIRE(sample.question.answer == expected.answer);
    REQUIRE(sample.question.reasoning == expected.reasoning);
    REQUIRE(sample.caption == oracle::caption(scene));
    REQUIRE((parse_scene(options, scene, "scene") == sample.scene));
    ++kinds[question_kind_name(sample.question.kind)];
  }
  CHECK(kinds.size() == 6);
}

TEST_CASE("arithmetic reasoning and answers are right for every pair of operands") {
  for (int a = 10; a < 100; ++a)
    for (int b = 10; b < 100; ++b) {
      const auto problem = make_problem(a, b);
      REQUIRE(std::stoi(problem.answer) == a + b);
      const int carry = (a % 10 + b % 10) >= 10 ? 1 : 0;
      char reasoning[64];
      std::snprintf(reasoning, sizeof reasoning, "%d+%d=%02d;%d+%d+%d=%02d", a % 10, b % 10, a % 10 + b % 10,
                    a / 10, b / 10, carry, a / 10 + b / 10 + carry);
      REQUIRE(problem.reasoning == reasoning);
      REQUIRE(problem.reply() == cat("<think>", reasoning, "</think>", a + b));
    }
}

TEST_CASE("rendering agrees with a plain floating-point rendition") {
  ShapesOptions options;
  for (const int64_t points : {1, 2, 4}) {
    options.supersampling = points;
    for (int i = 0; i < 40; ++i) {
      const auto scene = shapes_sample(options, ShapesSplit::kTrain, 2, i).scene;
      const auto expected = oracle::render(options, scene);
      const Image image = render_scene(options, scene);
      int differing = 0;
      for (size_t k = 0; k < expected.size(); ++k)
        differing += std::abs(image.pixels[k] - expected[k]) > 0.51;
      CHECK(differing == 0);
    }
  }
}

TEST_CASE("varied shapes stay inside their cells") {
  ShapesOptions options;
  options.wobble = 0.2, options.mixed = 0.4, options.blobs = 0.4;
  const Image empty = render_scene(options, {});
  std::set<std::string> pictures;
  for (uint64_t i = 0; i < 300; ++i) {
    Rng rng(3, "variation", i);
    const Scene scene = draw_scene(options, ShapesSplit::kTrain, 1, rng);
    const Image image = render_varied(options, scene, true, rng);
    pictures.emplace(image.pixels.begin(), image.pixels.end());
    const int64_t left = scene[0].cell % 2 * 32, top = scene[0].cell / 2 * 32;
    for (int64_t y = 0; y < 64; ++y)
      for (int64_t x = 0; x < 64; ++x)
        if (!std::equal(image.row(y) + x * 3, image.row(y) + x * 3 + 3, empty.row(y) + x * 3))
          REQUIRE((x >= left && x < left + 32 && y >= top && y < top + 32));
  }
  CHECK(pictures.size() > 256);  // as many as there are exact ones
}

TEST_CASE("without variation a varied picture is the scene's own") {
  const ShapesOptions options;
  for (uint64_t i = 0; i < 50; ++i) {
    Rng rng(4, "variation", i);
    const Scene scene = draw_scene(options, ShapesSplit::kHeldOut, 2, rng);
    CHECK(render_varied(options, scene, true, rng).pixels == render_scene(options, scene).pixels);
  }
}

TEST_CASE("training draws mixed shapes and blobs as often as asked and still no held-out pair") {
  ShapesOptions options;
  options.mixed = 0.2, options.blobs = 0.1;
  int mixed = 0, blobs = 0, all = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Rng rng(5, "scene", i);
    for (const auto& object : draw_scene(options, ShapesSplit::kTrain, 3, rng)) {
      ++all, mixed += options.color_name(object.color) == "mixed",
          blobs += options.shape_name(object.shape) == "blob";
      const std::string name = object_name(options, object);
      for (const char* held : {"red circle", "black square", "cyan triangle", "orange star"})
        REQUIRE(name != held);
    }
  }
  CHECK(std::abs(mixed - 0.2 * all) < 5 * std::sqrt(0.16 * all));
  CHECK(std::abs(blobs - 0.08 * all) < 5 * std::sqrt(0.08 * all));
}

TEST_CASE("a mixed shape shows two colours, half and half") {
  ShapesOptions options;
  for (uint64_t i = 0; i < 40; ++i) {
    Rng rng(6, "mixed", i);
    const Image image = render_varied(options, {{.shape = 1, .color = 8, .size = 1, .cell = 3}}, false, rng);
    std::map<std::array<uint8_t, 3>, int> seen;
    for (int64_t y = 36; y < 60; ++y)
      for (int64_t x = 36; x < 60; ++x)
        ++seen[{image.row(y)[x * 3], image.row(y)[x * 3 + 1], image.row(y)[x * 3 + 2]}];
    REQUIRE(seen.size() == 2);
    CHECK(seen.begin()->second == 24 * 12);
  }
}

TEST_CASE("half of all comparisons are matches, and each verdict follows from its five words") {
  ShapesOptions options;
  options.mixed = 0.1, options.blobs = 0.1;
  int yes = 0, all = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    Rng rng(7, "matches", i);
    std::istringstream words(draw_matches(options, 6, rng));
    std::string first, second, size, color, shape, verdict;
    while (words >> first >> second >> size >> color >> shape >> verdict) {
      const bool same_color = first == "the" || first == color,
                 same_shape = second == "shapes" || second == shape;
      REQUIRE(verdict == (same_color && same_shape ? "yes" : "no"));
      ++all, yes += verdict == "yes";
    }
  }
  CHECK(all == 3000);
  CHECK(std::abs(yes - 1500) < 5 * std::sqrt(750.0));
}

TEST_CASE("options survive a round trip through JSON") {
  ShapesOptions options;
  options.rows = 1;
  options.columns = 3;
  options.sizes = {{"tiny", 4.0}, {"big", 9.5}};
  options.shapes = {Outline::kStar, Outline::kCircle};
  options.count_weights = {1, 0, 2};
  options.stages = {{100, {1}}};
  const Json json = shapes_options_json(options);
  Fields fields(json, "test");
  CHECK(parse_shapes_options(fields) == options);
  fields.finish();
}
