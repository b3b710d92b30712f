// SPDX-License-Identifier: MIT
#include "mmada/rewards/image_reward_score.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "mmada/formats/atomic_file.h"
#include "mmada/model/tensor_file.h"

using namespace mmada;

namespace {

Json config_json() {
  const Json tower = {{"intermediate_size", 32}, {"num_attention_heads", 2}, {"num_hidden_layers", 1}};
  Json text = tower, image = tower;
  text.update({{"hidden_size", 12}, {"vocab_size", 12}, {"max_position_embeddings", 8}, {"max_length", 6}});
  image.update({{"hidden_size", 16}, {"image_size", 8}, {"patch_size", 4}});
  return {{"model_type", "image_reward"}, {"vision", image}, {"text", text}, {"head", {5, 4, 3}}};
}

/// A folder with a small random ImageReward.
std::string image_reward_folder(const std::string& name) {
  const std::string folder = std::string(MMADA_TEST_TMP) + "/" + name;
  std::filesystem::create_directories(folder);
  at::manual_seed(5);
  std::map<std::string, at::Tensor> tensors;
  const ImageReward network(parse_image_reward_config(config_json(), "config.json"), at::kFloat);
  for (const auto& [tensor, value] : network.parameters()) tensors.emplace(tensor, at::randn(value.sizes()));
  write_tensor_file(folder + "/model.safetensors", tensors);
  write_file(folder + "/config.json", config_json().dump());
  write_file(folder + "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nred\nblue\nsquare\n");
  return folder;
}

std::unique_ptr<Reward> image_reward(const std::string& folder, Json options = Json::object()) {
  options.update({{"type", "image_reward"}, {"model", folder}});
  return make_reward(Fields(options, "run.json", "reward"));
}

/// A drawn picture for a prompt.
RewardSample drawn(const std::string& prompt, int seed) {
  RewardSample sample;
  sample.prompt = prompt;
  sample.image = Image{.width = 9 + seed, .height = 11, .channels = 3, .pixels = {}};
  for (int64_t i = 0; i < (9 + seed) * 11 * 3; ++i)
    sample.image->pixels.push_back(static_cast<uint8_t>(i * i * 7 + seed * 61 + i));
  return sample;
}

}  // namespace

TEST_CASE("a picture's score is the network's, whatever shares its batch, without one there is none") {
  const std::string folder = image_reward_folder("image_reward_scores");
  const ImageRewardModel model = load_image_reward(folder);
  std::vector<RewardSample> samples = {drawn("a red square", 0), drawn("Blue", 1), drawn("a red square", 2),
                                       drawn("a red square a blue square", 3)};
  samples.insert(samples.begin() + 1, RewardSample());
  samples[1].prompt = "no picture";
  const Scores one = image_reward(folder, {{"batch", 1}})->score(samples);
  const Scores three = image_reward(folder, {{"batch", 3}})->score(samples);
  REQUIRE((one.size() == 5 && three.size() == 5));
  CHECK_FALSE((one[1] || three[1]));
  for (const size_t i : {0, 2, 3, 4}) {
    const Image* picture = &*samples[i].image;
    const auto prompts = model.prompts(std::span(&samples[i].prompt, 1));
    const double expected = model.network
                                .scores(model.pixels(std::span(&picture, 1)), prompts.ids_BT,
                                        at::ones_like(prompts.ids_BT).to(at::kBool))
                                .item<double>();
    const double tolerance = 1e-5 * (1 + std::abs(expected));
    CHECK(std::abs(*one[i] - expected) < tolerance);
    CHECK(std::abs(*three[i] - expected) < tolerance);
  }
  CHECK(std::abs(*one[0] - *one[3]) > 1e-3);  // the same prompt, another picture
}

TEST_CASE("a prompt is cut to the network's length with its end kept") {
  const ImageRewardModel model = load_image_reward(image_reward_folder("image_reward_prompts"));
  const std::vector<std::string> texts = {"a red square a blue square", "Red"};
  const auto [ids_BT, given_BT] = model.prompts(texts);
  CHECK(at::equal(ids_BT, at::tensor({2, 5, 6, 8, 5, 3, 2, 6, 3, 0, 0, 0}, at::kLong).view({2, 6})));
  CHECK(given_BT.sum(1).equal(at::tensor({6, 3}, at::kLong)));
}

TEST_CASE("a mistake in an image_reward's configuration is named") {
  const std::string folder = image_reward_folder("image_reward_mistakes");
  CHECK_THROWS_WITH(image_reward(folder, {{"batch", 0}}), Catch::Contains("reward.batch`: found 0"));
  CHECK_THROWS_WITH(image_reward(folder, {{"scale", 2}}), Catch::Contains("scale"));
  CHECK_THROWS_WITH(image_reward(folder, {{"device", "abacus"}}), Catch::Contains("abacus"));
  CHECK_THROWS_WITH(image_reward(folder + "/none"), Catch::Contains("none/config.json"));
}
