// SPDX-License-Identifier: MIT
#include "mmada/rewards/shape_scene_reward.h"

#include <catch2/catch.hpp>

#include "mmada/data/shapes.h"

namespace mmada {
namespace {

RewardSample drawn(const Scene& shown, const Scene& asked) {
  const ShapesOptions options;
  RewardSample sample;
  sample.task = "t2i";
  sample.image = render_scene(options, shown);
  sample.metadata = {{"scene", scene_json(options, asked)}};
  return sample;
}

double score(const RewardSample& sample, const Json& json = {{"type", "shape_scene"}}) {
  return *make_reward(Fields(json, "run.json"))->score(std::span(&sample, 1))[0];
}

TEST_CASE("a picture earns what it shows of its scene, and all of it alone when nothing else is there") {
  const SceneObject red{.shape = 0, .color = 0, .size = 1, .cell = 0},
      blue{.shape = 1, .color = 2, .size = 0, .cell = 3};
  const Scene asked{red, blue};
  CHECK(score(drawn(asked, asked)) == Approx(1));
  SceneObject wrong_color = blue, wrong_shape = blue;
  wrong_color.color = 1, wrong_shape.shape = 2, wrong_shape.color = 1;
  CHECK(score(drawn({red, wrong_color}, asked)) == Approx(0.5 * 7 / 8));
  CHECK(score(drawn({red, wrong_shape}, asked)) == Approx(0.5 * 6 / 8));
  CHECK(score(drawn({red}, asked)) == Approx(0.5 * 4 / 8));
  SceneObject stray = blue;
  stray.cell = 1;
  CHECK(score(drawn({red, stray, blue}, asked)) == Approx(0.5 * 2 / 3));
  CHECK(score(drawn({red}, asked), {{"type", "shape_scene"}, {"exact", 0.0}}) == Approx(4.0 / 8));
}

TEST_CASE("without a picture or a scene it has no opinion, and a scene that is none is named") {
  const auto reward = make_reward(Fields(Json{{"type", "shape_scene"}}, "run.json"));
  RewardSample sample = drawn({}, {});
  sample.image.reset();
  CHECK(reward->score(std::span(&sample, 1))[0] == std::nullopt);
  sample = drawn({}, {});
  sample.metadata = Json::object();
  CHECK(reward->score(std::span(&sample, 1))[0] == std::nullopt);
  sample.metadata = {{"scene", 3}};
  CHECK_THROWS_WITH(reward->score(std::span(&sample, 1)), Catch::Contains("metadata"));
}

}  // namespace
}  // namespace mmada
