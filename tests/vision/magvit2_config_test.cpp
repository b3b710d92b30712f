// SPDX-License-Identifier: MIT
#include <catch2/catch.hpp>

#include "mmada/vision/magvit2.h"

using mmada::Json;
using mmada::Magvit2Config;
using mmada::parse_magvit2_config;

namespace {

Json small_config() {
  return {{"_class_name", "MAGVITv2"},
          {"encoder", {{"ch", 32}, {"ch_mult", {1, 2}}, {"num_res_blocks", {1, 2}}, {"z_channels", 8}}},
          {"decoder", {{"ch", 32}, {"ch_mult", {2, 2}}, {"num_res_blocks", {2, 1}}, {"z_channels", 8}}}};
}

std::string error_of(const Json& json) {
  try {
    parse_magvit2_config(json, "config.json");
  } catch (const mmada::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a config.json without sizes means the published network") {
  const Magvit2Config config = parse_magvit2_config({{"_class_name", "MAGVITv2"}}, "config.json");
  CHECK(config == Magvit2Config{});
  CHECK(config.factor() == 16);
  CHECK(config.codebook_size() == 8192);
}

TEST_CASE("an image tokenizer's configuration reads back as it was written") {
  const Magvit2Config config = parse_magvit2_config(small_config(), "config.json");
  CHECK(config.decoder_blocks == std::vector<int64_t>{2, 1});
  CHECK(config.factor() == 2);
  CHECK(parse_magvit2_config(magvit2_config_json(config), "again") == config);
}

TEST_CASE("contradictory image tokenizer sizes are one error that names the field") {
  CHECK(error_of(small_config()) == "");
  Json json = small_config();
  json["decoder"]["z_channels"] = 9;
  CHECK_THAT(error_of(json), Catch::Contains("decoder.z_channels") && Catch::Contains("found 9"));
  json = small_config();
  json["encoder"]["num_res_blocks"] = {1};
  CHECK_THAT(error_of(json), Catch::Contains("num_res_blocks"));
  json = small_config();
  json["decoder"].erase("ch_mult");
  CHECK_THAT(error_of(json), Catch::Contains("ch_mult"));
  json = small_config();
  json["norm_groups"] = 24;
  CHECK_THAT(error_of(json), Catch::Contains("multiple of norm_groups"));
  json = small_config();
  json["encoder"]["chanels"] = 32;
  CHECK_THAT(error_of(json), Catch::Contains("chanels"));
}
