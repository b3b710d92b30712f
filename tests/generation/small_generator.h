// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "tests/generation/tiny.h"

namespace mmada::tiny {

/// One token per character: enough to see which text went where.
class CharacterTokenizer : public Tokenizer {
 public:
  TokenIds encode(std::string_view text) const override {
    TokenIds ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 48);
    return ids;
  }
  std::string decode(const TokenIds& ids, bool) const override {
    std::string text;
    for (const int64_t id : ids) text += static_cast<char>('A' + id % 26);
    return text;
  }
  std::optional<int64_t> token_id(std::string_view) const override { return {}; }
  std::string token(int64_t) const override { return ""; }
  int64_t size() const override { return 64; }
};

inline Magvit2 small_images() {
  Magvit2Config config;
  config.channels = 8, config.bits = 5, config.norm_groups = 4;
  config.encoder_mult = {1, 1, 2}, config.encoder_blocks = {1, 1, 1};
  config.decoder_mult = {1, 1, 2}, config.decoder_blocks = {1, 1, 1};
  Magvit2 images(config, at::TensorOptions().dtype(at::kFloat));
  initialize(images, 3);
  return images;
}

inline Generator generator(uint64_t seed = 1) {
  Model model = random_model(seed);
  model.tokenizer = std::make_shared<CharacterTokenizer>();
  return Generator(model, small_images());
}

}  // namespace mmada::tiny
