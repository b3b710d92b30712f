// SPDX-License-Identifier: MIT
#include <catch2/catch.hpp>
#include <filesystem>

#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"
#include "tests/formats/expect_error.h"

namespace fs = std::filesystem;
using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

std::string index_of(const std::string& file) { return R"({"weight_map":{"w":")" + file + R"("}})"; }

}  // namespace

TEST_CASE("one file of either published name makes a checkpoint") {
  const std::string folder = fresh_folder("checkpoint_single");
  write_file(folder + "/pytorch_model.safetensors", "x");
  CHECK(find_checkpoint_files(folder).files ==
        std::vector<std::string>{folder + "/pytorch_model.safetensors"});
  write_file(folder + "/model.safetensors", "x");
  write_file(folder + "/pytorch_model.bin", "x");
  CHECK(find_checkpoint_files(folder).files == std::vector<std::string>{folder + "/model.safetensors"});
  CHECK(find_checkpoint_files(folder).file_of_tensor.empty());
}

TEST_CASE("an index of either published name lists each file once and maps every tensor") {
  for (const std::string stem : {"model", "pytorch_model"}) {
    const std::string folder = fresh_folder("checkpoint_index");
    write_file(folder + "/" + stem + ".safetensors.index.json",
               R"({"metadata":{"total_size":5},"weight_map":{"a":"s-2.safetensors","b":"s-1.safetensors",)"
               R"("c":"s-2.safetensors"}})");
    write_file(folder + "/s-1.safetensors", "x");
    write_file(folder + "/s-2.safetensors", "x");
    const auto found = find_checkpoint_files(folder);
    CHECK(found.files == std::vector<std::string>{folder + "/s-1.safetensors", folder + "/s-2.safetensors"});
    CHECK(found.file_of_tensor == std::map<std::string, size_t>{{"a", 1}, {"b", 0}, {"c", 1}});
  }
}

TEST_CASE("a link in a checkpoint folder is followed, as the Hugging Face cache needs") {
  const std::string folder = fresh_folder("checkpoint_link");
  write_file(folder + "/blob", "x");
  fs::create_directories(folder + "/snapshot");
  fs::create_symlink("../blob", folder + "/snapshot/model.safetensors");
  CHECK(find_checkpoint_files(folder + "/snapshot").files.size() == 1);
}

TEST_CASE("a folder of pickles alone is refused with the command that converts it") {
  for (const std::string name : {"pytorch_model.bin", "m.pt", "m.pth", "m.ckpt"}) {
    const std::string folder = fresh_folder("checkpoint_pickle");
    write_file(folder + "/" + name, "x");
    expect_error([&] { find_checkpoint_files(folder); },
                 {folder, name, "python examples/python/convert_checkpoint.py " + folder + " OUT"});
  }
}

TEST_CASE("a folder without weights and a missing folder are refused") {
  const std::string folder = fresh_folder("checkpoint_none");
  expect_error([&] { find_checkpoint_files(folder); }, {folder, "no weights", "model.safetensors"});
  expect_error([&] { find_checkpoint_files(folder + "/none"); }, {"/none", "no folder"});
  write_file(folder + "/file", "x");
  expect_error([&] { find_checkpoint_files(folder + "/file"); }, {"/file", "no folder"});
}

TEST_CASE("an index that names a missing file is refused") {
  const std::string folder = fresh_folder("checkpoint_missing");
  write_file(folder + "/model.safetensors.index.json", index_of("gone.safetensors"));
  expect_error([&] { find_checkpoint_files(folder); },
               {"index.json", "\"gone.safetensors\"", "not in the folder"});
}

TEST_CASE("hostile file names in an index never leave the folder") {
  const std::string long_name = std::string(4096, 'a') + ".safetensors";
  for (const std::string& name :
       {std::string("../m.safetensors"), std::string("/etc/m.safetensors"), std::string("a/m.safetensors"),
        std::string("a\\\\m.safetensors"), std::string("..\\\\m.safetensors"), std::string("c:m.safetensors"),
        std::string(".."), std::string("."), std::string(""), std::string(".safetensors"),
        std::string("m.bin"), std::string("//m.safetensors"), std::string("m\\u0000.safetensors"),
        std::string("m\\n.safetensors"), std::string("..safetensors"), std::string("con"), long_name})
    expect_error([&] { parse_checkpoint_index(index_of(name), "i"); },
                 {"i: tensor \"w\"", "the name of a .safetensors file in the same folder"});
  for (const std::string step :
       {"..", "../..", "", ".", "a", "a/..", "~", "//", "\\\\..", "C:", "\\u002e\\u002e", "..\\u0000"})
    for (const std::string separator : {"/", "\\\\", "\\u002f"})
      expect_error([&] { parse_checkpoint_index(index_of(cat(step, separator, "m.safetensors")), "i"); },
                   {"i: tensor \"w\"", "the name of a .safetensors file in the same folder"});
  CHECK(parse_checkpoint_index(index_of("model-00001-of-00004.safetensors"), "i").size() == 1);
}

TEST_CASE("limits bound an index's text and its tensors") {
  const std::string two = R"({"weight_map":{"a":"m.safetensors","b":"m.safetensors"}})";
  Limits limits;
  limits.index_values = 4;  // the object, the map and the two names
  CHECK(parse_checkpoint_index(two, "i", limits).size() == 2);
  limits.index_values = 3;
  expect_error([&] { parse_checkpoint_index(two, "i", limits); }, {"i: found more than 3 JSON values"});
  limits = {};
  limits.index_bytes = 10;
  expect_error([&] { parse_checkpoint_index(two, "i", limits); }, {"i: ", "expected at most 10"});
}

TEST_CASE("an index of the wrong form is refused") {
  expect_error([] { parse_checkpoint_index("[]", "i"); }, {"i", "found a list", "an object"});
  expect_error([] { parse_checkpoint_index("{}", "i"); }, {"i", "`weight_map`", "found no object"});
  expect_error([] { parse_checkpoint_index(R"({"weight_map":[]})", "i"); },
               {"`weight_map`", "found no object"});
  expect_error([] { parse_checkpoint_index(R"({"weight_map":{}})", "i"); },
               {"`weight_map`", "an empty object"});
  expect_error([] { parse_checkpoint_index(R"({"weight_map":{"w":1}})", "i"); },
               {"tensor \"w\"", "found no string"});
  expect_error(
      [] { parse_checkpoint_index(R"({"weight_map":{"w":"a.safetensors","w":"b.safetensors"}})", "i"); },
      {"key \"w\" appears twice"});
  expect_error([] { parse_checkpoint_index("{\"weight_map\":", "i"); }, {"i: not valid JSON"});
}
