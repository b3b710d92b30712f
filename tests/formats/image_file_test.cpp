// SPDX-License-Identifier: MIT
#include "mmada/formats/image_file.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "mmada/core/rng.h"
#include "mmada/formats/atomic_file.h"
#include "tests/formats/expect_error.h"

namespace fs = std::filesystem;
using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

/// Smooth colour with a little noise, so that every encoder has something to do.
Image picture(int64_t width, int64_t height, int64_t channels) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  Rng noise(7, "picture");
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<uint8_t>((3 * x + 2 * y + 40 * c + noise.below(6)) % 256));
  return image;
}

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

std::string png_with_size(uint32_t width, uint32_t height) {
  std::string bytes = encode_png(picture(4, 4, 3));
  for (int i = 0; i < 4; ++i) {
    bytes[16 + i] = static_cast<char>(width >> (24 - 8 * i));
    bytes[20 + i] = static_cast<char>(height >> (24 - 8 * i));
  }
  const uint32_t crc = crc32(std::string_view(bytes).substr(12, 17));
  for (int i = 0; i < 4; ++i) bytes[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
  return bytes;
}

std::string jpeg_with_size(uint16_t width, uint16_t height) {
  std::string bytes = encode_jpeg(picture(16, 16, 3));
  const size_t at = bytes.find("\xFF\xC0") + 5;
  bytes[at] = static_cast<char>(height >> 8), bytes[at + 1] = static_cast<char>(height);
  bytes[at + 2] = static_cast<char>(width >> 8), bytes[at + 3] = static_cast<char>(width);
  return bytes;
}

}  // namespace

TEST_CASE("PNG and WebP read back bit for bit, JPEG nearly") {
  const std::string folder = fresh_folder("image_round");
  const Image image = picture(37, 23, 3);
  for (const std::string name : {"a.png", "a.webp", "A.PNG"}) {
    write_image(folder + "/" + name, image);
    const Image back = read_image(folder + "/" + name);
    CHECK(back.width == 37);
    CHECK(back.height == 23);
    CHECK(back.channels == 3);
    CHECK(back.pixels == image.pixels);
  }
  for (const std::string name : {"a.jpg", "a.jpeg"}) {
    write_image(folder + "/" + name, image);
    const Image back = read_image(folder + "/" + name);
    REQUIRE(back.pixels.size() == image.pixels.size());
    double error = 0;
    for (size_t i = 0; i < back.pixels.size(); ++i) error += std::abs(back.pixels[i] - image.pixels[i]);
    CHECK(error / static_cast<double>(back.pixels.size()) < 2.5);
  }
}

TEST_CASE("grey pictures spread to three channels and masks come back as grey") {
  const std::string folder = fresh_folder("image_grey");
  const Image grey = picture(9, 5, 1);
  for (const std::string name : {"g.png", "g.webp"}) {
    write_image(folder + "/" + name, grey);
    const Image back = read_image(folder + "/" + name);
    REQUIRE(back.channels == 3);
    for (size_t i = 0; i < grey.pixels.size(); ++i)
      for (size_t c = 0; c < 3; ++c) REQUIRE(back.pixels[3 * i + c] == grey.pixels[i]);
    const Image mask = read_mask(folder + "/" + name);
    CHECK(mask.channels == 1);
    CHECK(mask.pixels == grey.pixels);
  }
  write_image(folder + "/g.jpg", grey);
  CHECK(read_mask(folder + "/g.jpg").pixels.size() == grey.pixels.size());
}

TEST_CASE("PNG carries text entries, in UTF-8 where they need it") {
  const std::string bytes =
      encode_png(picture(2, 2, 3), {{"parameters", "steps 15"}, {"prompt", "gr\xC3\xBCn"}});
  CHECK_THAT(bytes, Catch::Contains(std::string("tEXtparameters\0steps 15", 23)));
  CHECK_THAT(bytes, Catch::Contains(std::string("iTXtprompt\0", 11)) && Catch::Contains("gr\xC3\xBCn"));
  CHECK(decode_image(bytes, "p").pixels == picture(2, 2, 3).pixels);
  expect_error([] { encode_png(picture(2, 2, 3), {{"", "x"}}); }, {"PNG text key \"\"", "1 to 79"});
  expect_error([] { encode_png(picture(2, 2, 3), {{"k\n", "x"}}); }, {"PNG text key", "printable"});
  expect_error([] { encode_png(picture(2, 2, 3), {{"k", "\xFF"}}); }, {"PNG text \"k\"", "UTF-8"});
  CHECK_THAT(encode_jpeg(picture(2, 2, 3), 95, {{"seed", "7"}}), Catch::Contains("seed: 7"));
}

TEST_CASE("every prefix of a picture is refused with its path, none crashes") {
  const std::string folder = fresh_folder("image_truncated");
  const Image image = picture(24, 16, 3);
  for (const auto& [name, bytes] : {std::pair<std::string, std::string>{"PNG", encode_png(image)},
                                    {"JPEG", encode_jpeg(image)},
                                    {"WebP", encode_webp(image)}}) {
    INFO(name);
    REQUIRE(decode_image(bytes, "whole").width == 24);
    size_t accepted = 0;
    // the ends that carry no pixels may go unseen: JPEG's end marker, a chunk's padding byte
    for (size_t size = 0; size + (name == "PNG" ? 0 : 20) < bytes.size(); ++size) {
      try {
        decode_image(std::string_view(bytes).substr(0, size), "cut.img");
        ++accepted;
      } catch (const Error& error) {
        if (std::string(error.what()).find("cut.img: ") != 0) FAIL(error.what());
      }
    }
    CHECK(accepted == 0);
  }
}

TEST_CASE("damaged pictures are refused") {
  std::string png = encode_png(picture(24, 16, 3));
  png[60] = static_cast<char>(png[60] ^ 0x55);
  expect_error([&] { decode_image(png, "d.png"); }, {"d.png: damaged PNG picture: "});
  std::string jpeg = encode_jpeg(picture(64, 64, 3));
  for (size_t i = jpeg.size() - 300; i < jpeg.size() - 250; ++i) jpeg[i] = static_cast<char>(0xFF);
  expect_error([&] { decode_image(jpeg, "d.jpg"); }, {"d.jpg: damaged JPEG picture: "});
  std::string webp = encode_webp(picture(24, 16, 3));
  for (size_t i = 21; i < 60; ++i) webp[i] = static_cast<char>(0xFF);
  expect_error([&] { decode_image(webp, "d.webp"); }, {"d.webp: ", "WebP picture: "});
}

TEST_CASE("what is no picture is refused by its first bytes") {
  expect_error([] { decode_image("", "e"); }, {"e: found an empty file", "PNG, JPEG or WebP"});
  expect_error([] { decode_image("GIF89a..", "e"); }, {"begins with \"GIF89a..\""});
  expect_error([] { decode_image("RIFF....WAVEfmt ", "e"); }, {"begins with \"RIFF....\""});
  expect_error([] { read_image("/nonexistent.png"); }, {"/nonexistent.png", "No such file"});
}

TEST_CASE("sizes of zero or above the limits are refused before anything is decoded") {
  expect_error([] { decode_image(png_with_size(0, 4), "z"); }, {"z: found a picture of 0x4", "sides from 1"});
  expect_error([] { decode_image(png_with_size(4, 0), "z"); }, {"z: found a picture of 4x0"});
  expect_error([] { decode_image(png_with_size(100000, 100000), "z"); },
               {"100000x100000", "sides from 1 to 65536"});
  expect_error([] { decode_image(png_with_size(20000, 20000), "z"); },
               {"400000000 pixels", "at most 67108864"});
  expect_error([] { decode_image(png_with_size(8000, 8000), "z"); },
               {"do not fit the 192008000 bytes of its rows"});
  expect_error([] { decode_image(jpeg_with_size(0, 16), "z"); }, {"z: ", "JPEG"});
  expect_error([] { decode_image(jpeg_with_size(16, 0), "z"); }, {"z: ", "JPEG"});
  expect_error([] { decode_image(jpeg_with_size(65535, 65535), "z"); }, {"z: ", "65500"});
  expect_error([] { decode_image(jpeg_with_size(20000, 20000), "z"); }, {"400000000 pixels"});
  expect_error([] { decode_image(jpeg_with_size(8000, 8000), "z"); }, {"too few for the 3000000 blocks"});
  Limits limits;
  limits.image_side = 15;
  expect_error([&] { decode_image(encode_webp(picture(16, 4, 3)), "z", limits); },
               {"16x4", "sides from 1 to 15"});
  limits = {};
  limits.image_file_bytes = 50;
  expect_error([&] { decode_image(encode_png(picture(16, 4, 3)), "z", limits); }, {"expected at most 50"});
}

TEST_CASE("outputs of an unknown kind or impossible size are refused and leave nothing") {
  const std::string folder = fresh_folder("image_refused");
  CHECK_THROWS_AS(write_image(folder + "/a.gif", picture(2, 2, 3)), UsageError);
  CHECK_THROWS_AS(write_image(folder + "/png", picture(2, 2, 3)), UsageError);
  Image image = picture(2, 2, 3);
  image.pixels.pop_back();
  for (const std::string name : {"/a.png", "/a.jpg", "/a.webp"})
    expect_error([&] { write_image(folder + name, image); }, {"found 11 bytes of pixels", "expected 12"});
  Image empty;
  for (const std::string name : {"/a.png", "/a.jpg", "/a.webp"})
    expect_error([&] { write_image(folder + name, empty); }, {"0x0", "sides from 1"});
  Image two = picture(2, 2, 3);
  two.channels = 2;
  expect_error([&] { encode_png(two); }, {"found 2 channels"});
  expect_error([&] { encode_webp(picture(16384, 1, 3)); }, {"16384x1", "16383"});
  expect_error([&] { encode_jpeg(picture(2, 2, 3), 0); }, {"quality 0"});
  CHECK(fs::is_empty(folder));
}

TEST_CASE("a picture knows the file it was read from, a mask too") {
  const std::string path = fresh_folder("image_source") + "/a.png";
  write_image(path, picture(4, 4, 3));
  CHECK(read_image(path).source == path);
  CHECK(read_mask(path).source == path);
  CHECK(picture(4, 4, 3).source.empty());
}

TEST_CASE("the smallest pictures survive") {
  for (const auto& bytes :
       {encode_png(picture(1, 1, 1)), encode_jpeg(picture(1, 1, 3)), encode_webp(picture(1, 1, 3))}) {
    const Image image = decode_image(bytes, "one");
    CHECK(image.width == 1);
    CHECK(image.pixels.size() == 3);
  }
}
