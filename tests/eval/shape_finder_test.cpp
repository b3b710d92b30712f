// SPDX-License-Identifier: MIT
#include "mmada/eval/shape_finder.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "mmada/data/shapes.h"

using namespace mmada;
using Catch::Matchers::Contains;

namespace {

Image with_noise(Image image, double deviation, Rng& rng) {
  for (auto& value : image.pixels)
    value = static_cast<uint8_t>(std::clamp(value + deviation * rng.normal() + 0.5, 0.0, 255.0));
  return image;
}

/// A box blur of 3 x 3 pixels: what a tokenizer of few codes does to edges, and more.
Image blurred(const Image& image) {
  Image out = image;
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < image.width; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        int sum = 0, count = 0;
        for (int64_t j = std::max<int64_t>(0, y - 1); j <= std::min(image.height - 1, y + 1); ++j)
          for (int64_t i = std::max<int64_t>(0, x - 1); i <= std::min(image.width - 1, x + 1); ++i)
            sum += image.row(j)[i * 3 + c], ++count;
        out.row(y)[x * 3 + c] = static_cast<uint8_t>(sum / count);
      }
  return out;
}

Image shifted(const Image& image, int64_t dx, int64_t dy) {
  Image out = image;
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < image.width; ++x) {
      const int64_t from_y = std::clamp<int64_t>(y - dy, 0, image.height - 1);
      const int64_t from_x = std::clamp<int64_t>(x - dx, 0, image.width - 1);
      std::copy_n(image.row(from_y) + from_x * 3, 3, out.row(y) + x * 3);
    }
  return out;
}

}  // namespace

TEST_CASE("the finder reads every one-shape picture exactly") {
  const ShapesOptions options;
  const ShapeFinder finder(options);
  for (int shape = 0; shape < 4; ++shape)
    for (int color = 0; color < 8; ++color)
      for (int size = 0; size < 2; ++size)
        for (int cell = 0; cell < 4; ++cell) {
          const Scene scene = {{shape, color, size, cell}};
          REQUIRE(finder.find(render_scene(options, scene)).matches(scene));
        }
  CHECK(finder.find(render_scene(options, {})).matches({}));
}

TEST_CASE("the finder reads drawn scenes exactly, in both splits and up to a shape in every cell") {
  ShapesOptions options;
  options.count_weights = {1, 1, 1, 1};
  const ShapeFinder finder(options);
  for (int i = 0; i < 2500; ++i)
    for (const auto split : {ShapesSplit::kTrain, ShapesSplit::kHeldOut}) {
      const Scene scene = shapes_sample(options, split, 77, i).scene;
      REQUIRE(finder.find(render_scene(options, scene)).matches(scene));
    }
}

TEST_CASE("the finder reads other grids, sizes and backgrounds exactly") {
  ShapesOptions options;
  options.rows = 3;
  options.columns = 3;
  options.sizes = {{"small", 6.0}, {"large", 9.2}};
  options.background = {225, 225, 225};
  options.count_weights = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ShapeFinder finder(options);
  for (int i = 0; i < 300; ++i) {
    const Scene scene = shapes_sample(options, ShapesSplit::kTrain, 5, i).scene;
    REQUIRE(finder.find(render_scene(options, scene)).matches(scene));
  }
}

TEST_CASE("the finder is not misled by noise, blur and one pixel of shift together") {
  const ShapesOptions options;
  const ShapeFinder finder(options);
  Rng rng(1, "noise");
  int exact = 0;
  constexpr int kScenes = 500;
  for (int i = 0; i < kScenes; ++i) {
    const Scene scene = shapes_sample(options, ShapesSplit::kTrain, 8, i).scene;
    const Image moved = shifted(blurred(render_scene(options, scene)), i % 3 - 1, i / 3 % 3 - 1);
    exact += finder.find(with_noise(moved, 14.0, rng)).matches(scene);
  }
  CHECK(exact >= kScenes * 99 / 100);
}

TEST_CASE("the finder tells what a picture does not show") {
  const ShapesOptions options;
  const ShapeFinder finder(options);
  const Scene scene = {{0, 1, 1, 0}, {3, 2, 0, 3}};
  const Image image = render_scene(options, scene);
  for (const auto attribute :
       {&SceneObject::shape, &SceneObject::color, &SceneObject::size, &SceneObject::cell}) {
    Scene other = scene;
    other[0].*attribute ^= 1;
    CHECK_FALSE(finder.find(image).matches(other));
  }
  CHECK_FALSE(finder.find(image).matches({scene[0]}));
}

TEST_CASE("a cell that shows no shape is unreadable rather than guessed at") {
  const ShapesOptions options;
  const ShapeFinder finder(options);
  Image image = render_scene(options, {{0, 1, 1, 0}});
  for (int64_t y = 32; y < 64; ++y)
    for (int64_t x = 32; x < 64; ++x)  // a chequered cell
      if ((x / 4 + y / 4) % 2 == 0) std::fill_n(image.row(y) + x * 3, 3, uint8_t{90});
  const FoundScene found = finder.find(image);
  CHECK(found.unreadable == 1);
  CHECK((found.scene == Scene{{0, 1, 1, 0}}));
  CHECK_FALSE(found.matches({{0, 1, 1, 0}}));
}

TEST_CASE("the finder refuses a picture of another size") {
  const ShapeFinder finder{ShapesOptions{}};
  CHECK_THROWS_WITH(
      finder.find({.width = 32, .height = 64, .channels = 3, .pixels = std::vector<uint8_t>(6144)}),
      Contains("found a picture of 32 x 64"));
}
