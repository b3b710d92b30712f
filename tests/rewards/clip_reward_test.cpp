// SPDX-License-Identifier: MIT
#include "mmada/rewards/clip_reward.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "mmada/formats/atomic_file.h"
#include "mmada/formats/bpe_unicode.h"
#include "mmada/model/tensor_file.h"

using namespace mmada;

namespace {

constexpr int64_t kBytes = 256;

/// A byte-level tokenizer without merges whose words end in </w>, with CLIP's marks.
Json tokenizer_json() {
  Json vocabulary = Json::object(), added = Json::array();
  for (const char* end : {"", "</w>"})
    for (int byte = 0; byte < kBytes; ++byte) {
      std::string unit;
      bpe::append_codepoint(unit, bpe::byte_to_codepoint(static_cast<uint8_t>(byte)));
      vocabulary[unit + end] = vocabulary.size();
    }
  for (const char* mark : {"<|startoftext|>", "<|endoftext|>"}) {
    vocabulary[mark] = vocabulary.size();
    added.push_back({{"id", vocabulary[mark]},
                     {"content", mark},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json words = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "Lowercase"}}},
          {"pre_tokenizer", words},
          {"decoder", words},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", Json::array()},
            {"unk_token", "<|endoftext|>"},
            {"end_of_word_suffix", "</w>"}}}};
}

Json config_json() {
  const Json tower = {
      {"hidden_size", 16}, {"intermediate_size", 32}, {"num_attention_heads", 2}, {"num_hidden_layers", 1}};
  Json text = tower, image = tower;
  text.update({{"vocab_size", 2 * kBytes + 2}, {"max_position_embeddings", 12}, {"eos_token_id", 2}});
  image.update({{"image_size", 8}, {"patch_size", 4}});
  return {{"model_type", "clip"}, {"text_config", text}, {"vision_config", image}, {"projection_dim", 6}};
}

/// A folder with a small random CLIP.
std::string clip_folder(const std::string& name) {
  const std::string folder = std::string(MMADA_TEST_TMP) + "/" + name;
  std::filesystem::create_directories(folder);
  at::manual_seed(5);
  std::map<std::string, at::Tensor> tensors;
  const Clip clip(parse_clip_config(config_json(), "config.json"), at::kFloat);
  for (const auto& [tensor, value] : clip.parameters()) tensors.emplace(tensor, at::randn(value.sizes()));
  write_tensor_file(folder + "/model.safetensors", tensors);
  write_file(folder + "/config.json", config_json().dump());
  write_file(folder + "/tokenizer.json", tokenizer_json().dump());
  return folder;
}

std::unique_ptr<Reward> clip_reward(const std::string& folder, Json options = Json::object()) {
  options.update({{"type", "clip"}, {"model", folder}});
  return make_reward(Fields(options, "run.json", "reward"));
}

Image picture(int64_t width, int64_t height, int seed) {
  Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  for (int64_t i = 0; i < width * height * 3; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * i * 7 + seed * 61 + i));
  return image;
}

/// A drawn picture for a prompt.
RewardSample drawn(const std::string& prompt, int seed) {
  return {
      .task = "t2i", .prompt = prompt, .response = "", .image = picture(9 + seed, 11, seed), .answer = ""};
}

/// The cosine of the network's features, in loops.
double cosine(const ClipModel& clip, const std::string& text, const Image& image) {
  const Image* pointer = &image;
  const at::Tensor a = clip.network.text_features(clip.ids(std::span(&text, 1))).to(at::kDouble),
                   b = clip.network.image_features(clip.pixels(std::span(&pointer, 1))).to(at::kDouble);
  double ab = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.const_data_ptr<double>()[i], y = b.const_data_ptr<double>()[i];
    ab += x * y, aa += x * x, bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

constexpr double kTolerance = 1e-5;  // cosines in fp32: some hundred roundings of 6e-8

}  // namespace

TEST_CASE("the score is the cosine of prompt and drawn picture, whatever shares its batch") {
  const std::string folder = clip_folder("cosine");
  const ClipModel clip = load_clip(folder);
  std::vector<RewardSample> samples = {drawn("a red square", 0), drawn("Blue", 1), drawn("a red square", 2),
                                       drawn("a text that is longer than the network's positions", 3)};
  samples.insert(samples.begin() + 1, RewardSample());  // no picture
  const Scores one = clip_reward(folder, {{"batch", 1}})->score(samples);
  const Scores three = clip_reward(folder, {{"batch", 3}, {"scale", 100.0}})->score(samples);
  REQUIRE((one.size() == 5 && three.size() == 5));
  CHECK_FALSE((one[1] || three[1]));
  for (const size_t i : {0, 2, 3, 4}) {
    const double expected = cosine(clip, samples[i].prompt, *samples[i].image);
    CHECK(std::abs(*one[i] - expected) < kTolerance);
    CHECK(std::abs(*three[i] - 100 * expected) < 100 * kTolerance);
  }
  CHECK(std::abs(*one[0] - *one[3]) > 100 * kTolerance);
}

TEST_CASE("of a response what stands behind its reasoning is compared with the prompt's picture") {
  const std::string folder = clip_folder("response");
  const ClipModel clip = load_clip(folder);
  RewardSample asked;
  asked.response = "<think>hm</think> a dog\n";
  asked.shown = picture(8, 8, 4);
  const auto reward = clip_reward(folder, {{"text", "response"}});
  const Scores found = reward->score(std::vector{asked, drawn("a dog", 1)});
  CHECK(std::abs(*found[0] - cosine(clip, "a dog", *asked.shown)) < kTolerance);
  CHECK_FALSE(found[1]);
  CHECK_FALSE(clip_reward(folder)->score(std::vector{asked})[0]);
}

TEST_CASE("a mistake in the configuration is named") {
  const std::string folder = clip_folder("mistakes");
  CHECK_THROWS_WITH(clip_reward(folder, {{"text", "answer"}}),
                    Catch::Contains("reward.text`: found \"answer\", expected one of \"prompt\""));
  CHECK_THROWS_WITH(clip_reward(folder, {{"batch", 0}}), Catch::Contains("reward.batch`: found 0"));
  CHECK_THROWS_WITH(clip_reward(folder, {{"sacle", 2}}), Catch::Contains("did you mean `scale`"));
  CHECK_THROWS_WITH(clip_reward(folder, {{"device", "abacus"}}), Catch::Contains("abacus"));
  CHECK_THROWS_WITH(clip_reward(folder + "/none"), Catch::Contains("none/config.json"));
}
