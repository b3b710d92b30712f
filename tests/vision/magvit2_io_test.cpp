// SPDX-License-Identifier: MIT
#include <filesystem>

#include "mmada/formats/atomic_file.h"
#include "mmada/model/tensor_file.h"
#include "tests/vision/golden.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

namespace {

const std::string kTiny = MMADA_TEST_DATA "/tiny_magvit";

std::string fresh_folder(const std::string& name) {
  const std::string folder = MMADA_TEST_TMP "/magvit2_io/" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

/// A copy of the tiny tokenizer with its tensors changed.
template <class Change>
std::string changed_copy(const std::string& name, Change&& change) {
  const std::string folder = fresh_folder(name);
  std::filesystem::copy_file(kTiny + "/config.json", folder + "/config.json");
  auto tensors = mmada::test::read_tensors(kTiny + "/model.safetensors");
  change(tensors);
  mmada::write_tensor_file(folder + "/model.safetensors", tensors);
  return folder;
}

std::string load_error(const std::string& folder) {
  try {
    mmada::load_image_tokenizer(folder);
  } catch (const mmada::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a loaded image tokenizer holds the stored values and saves them bit for bit") {
  const mmada::Magvit2 expected = mmada::test::tiny_magvit();
  const mmada::Magvit2 loaded = mmada::load_image_tokenizer(kTiny);
  const std::string folder = fresh_folder("saved");
  mmada::save_image_tokenizer(loaded, folder + "/deeper");
  const mmada::Magvit2 again = mmada::load_image_tokenizer(folder + "/deeper");
  CHECK(again.config() == expected.config());
  const auto a = expected.parameters(), b = loaded.parameters(), c = again.parameters();
  REQUIRE(a.size() == 144);
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].second.equal(b[i].second));
    CHECK(a[i].second.equal(c[i].second));
  }
}

TEST_CASE("an image tokenizer loads in the type that is asked for") {
  const mmada::Magvit2 loaded = mmada::load_image_tokenizer(kTiny, {.dtype = "bf16"});
  for (const auto& [name, tensor] : loaded.parameters()) CHECK(tensor.scalar_type() == at::kBFloat16);
}

TEST_CASE("the quantizer's persisted buffers are tolerated and other tensors are not") {
  const auto with = [](const std::string& extra) {
    return changed_copy("extra", [&](auto& tensors) { tensors[extra] = at::zeros({4}); });
  };
  CHECK(load_error(with("quantize.power_vals")) == "");
  CHECK(load_error(with("quantize.embedding")) == "");
  CHECK_THAT(load_error(with("quantize.other")), Catch::Contains("quantize.other"));
}

TEST_CASE("everything wrong with a tokenizer's tensors is one error") {
  const std::string error = load_error(changed_copy("wrong", [](auto& tensors) {
    tensors.erase("decoder.conv_in.bias");
    tensors["encoder.conv_out.bias"] = at::zeros({9});
  }));
  CHECK_THAT(error, Catch::Contains("decoder.conv_in.bias") && Catch::Contains("encoder.conv_out.bias"));
}

TEST_CASE("a configuration that promises more than the file holds is refused before memory is asked for") {
  const std::string folder = fresh_folder("huge");
  std::filesystem::copy_file(kTiny + "/model.safetensors", folder + "/model.safetensors");
  const mmada::Json half = {
      {"ch", 4096}, {"ch_mult", {64, 64}}, {"num_res_blocks", {64, 64}}, {"z_channels", 8}};
  mmada::write_file(folder + "/config.json", mmada::Json{{"encoder", half}, {"decoder", half}}.dump());
  CHECK_THAT(load_error(folder), Catch::Contains("encoder.conv_in.weight"));
}
