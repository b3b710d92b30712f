// SPDX-License-Identifier: MIT
// A foreign checkpoint has no hashes: what its headers and sizes can show must be found.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/model/open_checkpoint.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

/// The golden checkpoint in three shards; returns their paths.
std::vector<std::string> three_shards(const std::string& directory) {
  fs::remove_all(directory);
  save_model(load_model(std::string(MMADA_TEST_DATA) + "/tiny_mmada"), directory, "", 90000);
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == ".safetensors") shards.push_back(entry.path().string());
  std::sort(shards.begin(), shards.end());
  return shards;
}

std::string message_of(const std::string& directory) {
  try {
    open_checkpoint(directory);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// In place and without the fsync of AtomicFile, which a thousand changes need not wait for.
void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

uint64_t header_bytes(const std::string& file) {
  uint64_t bytes = 0;
  for (int i = 7; i >= 0; --i) bytes = bytes << 8 | static_cast<uint8_t>(file[i]);
  return bytes;
}

TEST_CASE("a shard cut anywhere is refused by its name") {
  const std::string directory = std::string(MMADA_TEST_TMP) + "/damaged_cut";
  const auto shards = three_shards(directory);
  REQUIRE(shards.size() == 3);
  Rng random(1, "cuts");
  for (int i = 0; i < 200; ++i) {
    const std::string& shard = shards[static_cast<size_t>(i) % 3];
    const std::string whole = read_file(shard);
    const uint64_t size = i < 40 ? random.below(8 + header_bytes(whole)) : random.below(whole.size());
    fs::resize_file(shard, size);
    INFO("cut to " << size);
    CHECK_THAT(message_of(directory), Catch::Contains(shard));
    overwrite(shard, whole);
  }
  CHECK(message_of(directory).empty());
}

TEST_CASE("a flipped bit of a header is refused, or changes nothing that is read") {
  const std::string directory = std::string(MMADA_TEST_TMP) + "/damaged_flip";
  const auto shards = three_shards(directory);
  const auto tensors_of = [](const std::string& shard) {
    std::vector<std::tuple<std::string, DType, std::vector<int64_t>, uint64_t>> tensors;
    const SafetensorsFile file(shard);
    for (const TensorEntry& t : file.tensors()) tensors.emplace_back(t.name, t.dtype, t.shape, t.begin);
    return tensors;
  };
  Rng random(2, "flips");
  int harmless = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string& shard = shards[static_cast<size_t>(i) % 3];
    const std::string whole = read_file(shard);
    const auto before = tensors_of(shard);
    std::string flipped = whole;
    const uint64_t at = random.below(8 + header_bytes(whole));
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random.below(8)));
    overwrite(shard, flipped);
    INFO("byte " << at);
    const std::string message = message_of(directory);
    if (message.empty()) {
      ++harmless;
      const bool same = tensors_of(shard) == before;  // compared unprinted
      CHECK(same);
    } else {
      CHECK_THAT(message, Catch::Contains(shard) || Catch::Contains(directory + ": found"));
    }
    overwrite(shard, whole);
  }
  CHECK(harmless < 100);  // the metadata's text and the spaces that align the data
}

TEST_CASE("a flipped bit of the data of a foreign checkpoint cannot be seen: the format has no hash") {
  // SECURITY.md says so; our own training checkpoints have a manifest (tests/trainer/checkpoint_test.cpp)
  const std::string directory = std::string(MMADA_TEST_TMP) + "/damaged_data";
  const auto shards = three_shards(directory);
  Rng random(3, "data flips");
  for (int i = 0; i < 30; ++i) {
    const std::string& shard = shards[static_cast<size_t>(i) % 3];
    const std::string whole = read_file(shard);
    const uint64_t begin = 8 + header_bytes(whole);
    std::string flipped = whole;
    const uint64_t at = begin + random.below(whole.size() - begin);
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random.below(8)));
    overwrite(shard, flipped);
    INFO("byte " << at);
    CHECK(message_of(directory).empty());
    overwrite(shard, whole);
  }
}

}  // namespace
}  // namespace mmada
