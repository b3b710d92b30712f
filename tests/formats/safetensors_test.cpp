// SPDX-License-Identifier: MIT
#include "mmada/formats/safetensors.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <numeric>

#include "mmada/formats/atomic_file.h"
#include "tests/formats/expect_error.h"

namespace fs = std::filesystem;
using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

std::string length_prefix(uint64_t bytes) {
  std::string prefix(8, '\0');
  for (int i = 0; i < 8; ++i) prefix[i] = static_cast<char>(bytes >> (8 * i) & 0xFF);
  return prefix;
}

std::string file_of(const std::string& header, const std::string& data) {
  return length_prefix(header.size()) + header + data;
}

void expect_refused(const std::string& bytes, std::initializer_list<std::string> parts) {
  const std::string path = fresh_folder("safetensors_refused") + "/bad.safetensors";
  write_file(path, bytes);
  expect_error([&] { SafetensorsFile{path}; }, parts);
}

}  // namespace

TEST_CASE("what is written reads back bit for bit, with shapes, dtypes and metadata") {
  const std::string path = fresh_folder("safetensors_round") + "/m.safetensors";
  std::vector<float> weights(6);
  std::iota(weights.begin(), weights.end(), -2.5f);
  const std::vector<uint8_t> flags = {1, 0, 255};
  const std::vector<int64_t> scalar = {-7};
  const std::string name = "gr\xC3\xBC\xC3\x9F \"quoted\"\n";
  write_safetensors(path,
                    {{"flags", DType::kU8, {3}, flags.data()},
                     {name, DType::kF32, {2, 3}, weights.data()},
                     {"scalar", DType::kI64, {}, scalar.data()},
                     {"none", DType::kBF16, {0, 4}, nullptr}},
                    {{"format", "pt"}, {"step", "12"}});

  const SafetensorsFile file(path);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"step", "12"}});
  CHECK(file.tensors().size() == 4);
  REQUIRE(file.find(name) != nullptr);
  CHECK(file.find(name)->shape == std::vector<int64_t>{2, 3});
  CHECK(file.find(name)->dtype == DType::kF32);
  std::vector<float> read_weights(6);
  file.read(*file.find(name), read_weights.data());
  CHECK(read_weights == weights);
  std::vector<uint8_t> read_flags(3);
  file.read(*file.find("flags"), read_flags.data());
  CHECK(read_flags == flags);
  int64_t read_scalar = 0;
  CHECK(file.find("scalar")->shape.empty());
  file.read(*file.find("scalar"), &read_scalar);
  CHECK(read_scalar == -7);
  CHECK(file.find("none")->shape == std::vector<int64_t>{0, 4});
  file.read(*file.find("none"), nullptr);
  CHECK(file.find("missing") == nullptr);
}

TEST_CASE("every tensor is aligned to its elements whatever order it was given in") {
  const std::string path = fresh_folder("safetensors_align") + "/m.safetensors";
  const std::vector<char> bytes(64, 'x');
  write_safetensors(path, {{"u8", DType::kU8, {3}, bytes.data()},
                           {"f16", DType::kF16, {1}, bytes.data()},
                           {"f64", DType::kF64, {1}, bytes.data()},
                           {"f32", DType::kF32, {1}, bytes.data()}});
  const SafetensorsFile file(path);
  for (const auto& entry : file.tensors()) CHECK(entry.begin % dtype_size(entry.dtype) == 0);
  CHECK((fs::file_size(path) - 17) % 8 == 0);
}

TEST_CASE("an empty file of tensors is valid") {
  const std::string path = fresh_folder("safetensors_empty") + "/m.safetensors";
  write_safetensors(path, {});
  CHECK(SafetensorsFile(path).tensors().empty());
}

TEST_CASE("a truncated or foreign safetensors file is refused with its path and sizes") {
  expect_refused("", {"bad.safetensors", "found 0 bytes", "at least 8"});
  expect_refused("1234567", {"found 7 bytes"});
  expect_refused(length_prefix(0), {"header that starts with \"\"", "expected \"{\""});
  expect_refused(length_prefix(100'000'001), {"header length of 100000001", "at most 100000000"});
  expect_refused(length_prefix(UINT64_MAX), {"header length of 18446744073709551615"});
  expect_refused(length_prefix(3) + "{}", {"header length of 3", "the 2 bytes that follow"});
  expect_refused("PK\x03\x04 a zip archive", {"header length", "at most 100000000"});
  const std::string header = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  expect_refused(file_of(header, "123"), {"\"a\"", "[0, 4]", "the file's 3 data bytes"});
  expect_refused(file_of(header, "12345"), {"found 5 data bytes", "expected 4"});
}

TEST_CASE("a file that shrinks after it was opened gives an error, not a signal") {
  const std::string path = fresh_folder("safetensors_shrinks") + "/m.safetensors";
  const std::vector<char> bytes(4096, 'x');
  write_safetensors(path, {{"a", DType::kU8, {4096}, bytes.data()}});
  const SafetensorsFile file(path);
  fs::resize_file(path, 200);
  std::vector<char> read(4096);
  expect_error([&] { file.read(file.tensors()[0], read.data()); },
               {"m.safetensors", "end of the file at byte 200"});
}

TEST_CASE("what is no regular file is refused without waiting for it") {
  const std::string folder = fresh_folder("safetensors_pipe");
  REQUIRE(::mkfifo((folder + "/pipe.safetensors").c_str(), 0600) == 0);
  expect_error([&] { SafetensorsFile{folder + "/pipe.safetensors"}; },
               {"pipe.safetensors: found something else, expected a regular file"});
  expect_error([&] { SafetensorsFile{folder}; }, {"safetensors_pipe: ", "expected a regular file"});
}

TEST_CASE("files may be moved and swapped") {
  const std::string folder = fresh_folder("safetensors_move");
  const char bytes[] = {1, 2};
  write_safetensors(folder + "/a", {{"a", DType::kU8, {1}, &bytes[0]}});
  write_safetensors(folder + "/b", {{"b", DType::kU8, {1}, &bytes[1]}});
  SafetensorsFile a(folder + "/a"), b(folder + "/b");
  std::swap(a, b);
  char read = 0;
  a.read(*a.find("b"), &read);
  CHECK(read == 2);
  CHECK(a.path() == folder + "/b");
  b.read(*b.find("a"), &read);
  CHECK(read == 1);
}

TEST_CASE("an entry of another file cannot read outside the data") {
  const std::string path = fresh_folder("safetensors_foreign") + "/m.safetensors";
  const char byte = 'x';
  write_safetensors(path, {{"a", DType::kU8, {1}, &byte}});
  const SafetensorsFile file(path);
  char read[8];
  const TensorEntry reversed{"b", DType::kU8, {1}, 2, 1}, beyond{"c", DType::kU8, {8}, 0, 8};
  expect_error([&] { file.read(reversed, read); }, {"\"b\"", "not of this file"});
  expect_error([&] { file.read(beyond, read); }, {"\"c\"", "not of this file"});
}

TEST_CASE("the writer refuses what no reader could take, and writes nothing then") {
  const std::string folder = fresh_folder("safetensors_writer");
  const std::string path = folder + "/m.safetensors";
  const char byte = 'x';
  const auto write = [&](const std::vector<TensorToWrite>& tensors,
                         const std::map<std::string, std::string>& m = {}) {
    return [=] { write_safetensors(path, tensors, m); };
  };
  expect_error(write({{"a", DType::kU8, {1}, &byte}, {"a", DType::kU8, {1}, &byte}}), {"\"a\"", "twice"});
  expect_error(write({{"__metadata__", DType::kU8, {1}, &byte}}), {"__metadata__", "twice"});
  expect_error(write({{"a", DType::kU8, {-1}, &byte}}), {"\"a\"", "negative"});
  expect_error(write({{"a", DType::kF64, {int64_t{1} << 61}, &byte}}), {"\"a\"", "overflowing"});
  expect_error(write({{"a", DType::kU8, {1}, nullptr}}), {"\"a\"", "no data"});
  expect_error(write({{"\xFF", DType::kU8, {1}, &byte}}), {"tensor name", "\\xff", "UTF-8"});
  expect_error(write({{std::string("a\0b", 3), DType::kU8, {1}, &byte}}), {"tensor name", "NUL"});
  expect_error(write({}, {{"k", "\xC3"}}), {"metadata value", "UTF-8"});
  CHECK(fs::is_empty(folder));
}
