// SPDX-License-Identifier: MIT
#include "mmada/trainer/sample_encoder.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "mmada/core/rng.h"

namespace {

using namespace mmada;

/// Pieces as a byte-level tokenizer cuts them: the tag is several tokens, spelled by their neighbours.
class PieceTokenizer final : public Tokenizer {
 public:
  TokenIds encode(std::string_view text) const override {
    return text == " a" ? TokenIds{2} : TokenIds(text.size(), 6);
  }
  std::string decode(const TokenIds& ids, bool) const override {
    static const std::map<int64_t, std::string> kPieces = {
        {1, "<think>"}, {2, "a"}, {3, ".</"}, {4, "think"}, {5, ">\n"}, {6, "answer"}, {7, "</think>"}};
    std::string text;
    for (const int64_t id : ids) text += kPieces.at(id);
    return text;
  }
  std::optional<int64_t> token_id(std::string_view) const override { return {}; }
  std::string token(int64_t) const override { return {}; }
  int64_t size() const override { return 8; }
};

int64_t end_of(const TokenIds& ids) {
  const PieceTokenizer tokenizer;
  return reasoning_end(tokenizer, tokenizer.decode(ids, false), ids);
}

constexpr int64_t kSide = 32;

Image noise(int64_t width, int64_t height) {
  Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  Rng rng(3, "noise", 0);
  for (int64_t i = 0; i < width * height * 3; ++i)
    image.pixels.push_back(static_cast<uint8_t>(rng.below(256)));
  return image;
}

/// A picture of full width with white above and below, put together by hand.
Image squared(const Image& flat) {
  Image square{.width = kSide,
               .height = kSide,
               .channels = 3,
               .pixels = std::vector<uint8_t>(static_cast<size_t>(3 * kSide * kSide), 255)};
  const auto above = (kSide - flat.height) / 2 * kSide * 3;
  std::copy(flat.pixels.begin(), flat.pixels.end(), square.pixels.begin() + above);
  return square;
}

SampleEncoder encoder(Fit fit, const std::string& cached_codes = "", int64_t cached_pictures = 100) {
  static const auto kImages =
      std::make_shared<const Magvit2>(load_image_tokenizer(MMADA_TEST_DATA "/tiny_magvit"));
  TokenLayout layout;
  layout.codebook_size = kImages->config().codebook_size();
  return {
      std::make_shared<PieceTokenizer>(),
      kImages,
      layout,
      {.resolution = kSide, .fit = fit, .cached_pictures = cached_pictures, .cached_codes = cached_codes}};
}

TokenIds codes(SampleEncoder encoder, const Image& image, std::optional<Fit> fit = {}) {
  return encoder.encode({Sample{"a", image, fit}}).front().image;
}

}  // namespace

TEST_CASE("a picture is brought to size as its source says, else as the data set does") {
  const Image flat = noise(kSide, kSide / 2);
  const TokenIds padded = codes(encoder(Fit::kClip), squared(flat));
  const TokenIds clipped = codes(encoder(Fit::kClip), flat);
  REQUIRE(padded != clipped);
  CHECK(codes(encoder(Fit::kClip), flat, Fit::kPad) == padded);
  CHECK(codes(encoder(Fit::kPad), flat) == padded);
  CHECK(codes(encoder(Fit::kPad), flat, Fit::kClip) == clipped);
}

TEST_CASE("codes of one picture brought to size in several ways are kept apart, in memory and on disk") {
  const Image flat = noise(kSide, kSide / 2);
  const TokenIds padded = codes(encoder(Fit::kPad), flat), clipped = codes(encoder(Fit::kClip), flat);
  const std::string folder = MMADA_TEST_TMP "/sample_encoder_fits";
  std::filesystem::remove_all(folder);
  for (const int64_t in_memory : {100, 0, 0}) {  // fills the folder, and then reads from it alone
    SampleEncoder kept = encoder(Fit::kClip, folder, in_memory);
    for (int time = 0; time < 2; ++time) {
      const auto encoded = kept.encode({{"a", flat}, {"a", flat, Fit::kPad}, {"a", flat, Fit::kClip}});
      CHECK(encoded[0].image == clipped);
      CHECK(encoded[1].image == padded);
      CHECK(encoded[2].image == clipped);
    }
  }
  CHECK(codes(encoder(Fit::kPad, folder, 0), flat) == padded);
  const std::filesystem::directory_iterator setups(folder);
  CHECK(std::distance(begin(setups), end(setups)) == 2);
}

TEST_CASE("reasoning ends behind the token that completes the last closing tag") {
  CHECK(end_of({1, 2, 7, 6}) == 3);
  CHECK(end_of({1, 2, 3, 4, 5, 6, 6}) == 5);
  CHECK(end_of({1, 2, 7, 6, 1, 2, 3, 4, 5, 6}) == 9);
  CHECK(end_of({1, 2, 7}) == 3);
}

TEST_CASE("words of a configuration are single tokens behind a blank") {
  const PieceTokenizer tokenizer;
  CHECK(word_ids(tokenizer, {"a", "a"}, "masked_words") == std::vector<int64_t>{2, 2});
  CHECK_THROWS_WITH(word_ids(tokenizer, {"a", "think"}, "masked_words"),
                    Catch::Contains("masked_words") && Catch::Contains("\"think\""));
}

TEST_CASE("a text without a closing tag has no reasoning") {
  CHECK(end_of({1, 2, 6}) == 0);
  CHECK(end_of({}) == 0);
}
