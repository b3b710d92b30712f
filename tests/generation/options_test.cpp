// SPDX-License-Identifier: MIT
#include "mmada/generation/options.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "mmada/core/check.h"

namespace mmada {
namespace {

TEST_CASE("every sampler file of configs/sampler is built in and reads") {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(MMADA_TEST_DATA "/../../configs/sampler"))
    files.insert(entry.path().stem().string());
  const auto names = sampler_names();
  CHECK(std::set<std::string>(names.begin(), names.end()) == files);
  for (const std::string& name : names) {
    const Json json = load_sampler(name);
    if (json.at("task") == "text")
      CHECK_NOTHROW(validate(text_options_from_json(json, name)));
    else
      CHECK_NOTHROW(validate(image_options_from_json(json, name)));
  }
}

TEST_CASE("the defaults in code are the published method's") {
  const TextOptions text =
      text_options_from_json(load_sampler("method_text"), "method_text", {.gen_length = 1});
  const TextOptions default_text;
  CHECK(text.gen_length == default_text.gen_length);
  CHECK(text.block_length == default_text.block_length);
  CHECK(text.steps == default_text.steps);
  CHECK(text.temperature == default_text.temperature);
  CHECK(text.cfg_scale == default_text.cfg_scale);
  const ImageOptions image =
      image_options_from_json(load_sampler("method_image"), "method_image", {.steps = 1});
  const ImageOptions default_image;
  CHECK(image.steps == default_image.steps);
  CHECK(image.guidance_scale == default_image.guidance_scale);
  CHECK(image.schedule == default_image.schedule);
}

TEST_CASE("a sampler file keeps what it does not name and refuses what it does not know") {
  const Json json = {{"task", "text"}, {"steps", 7}};
  const TextOptions options = text_options_from_json(json, "x", {.gen_length = 9});
  CHECK(options.steps == 7);
  CHECK(options.gen_length == 9);
  const Json unknown = {{"task", "text"}, {"step", 7}};
  CHECK_THROWS_WITH(text_options_from_json(unknown, "x"), Catch::Contains("steps"));
  CHECK_THROWS_AS(image_options_from_json(json, "x"), Error);
  CHECK_THROWS_WITH(load_sampler("no_such_sampler"), Catch::Contains("app_text"));
}

TEST_CASE("options out of range name themselves") {
  CHECK_THROWS_WITH(validate(TextOptions{.gen_length = 0}), Catch::Contains("gen-length: found 0"));
  CHECK_THROWS_AS(validate(TextOptions{.remasking = "best"}), UsageError);
  CHECK_THROWS_AS(validate(ImageOptions{.schedule = "cubic"}), UsageError);
  CHECK_THROWS_AS(validate(ImageOptions{.rows = 4}), UsageError);
}

}  // namespace
}  // namespace mmada
