// SPDX-License-Identifier: MIT
#include "mmada/formats/safetensors_writer.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

const std::vector<TensorOutline> kTwo = {{"b", DType::kF32, {2, 2}}, {"a", DType::kBF16, {3}}};

std::string bytes_of(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  std::string bytes(entry->end - entry->begin, '\0');
  file.read(*entry, bytes.data());
  return bytes;
}

}  // namespace

TEST_CASE("a file written in pieces of any size is the file written at once") {
  const std::string folder = fresh_folder("writer_pieces");
  const std::string data = "0123456789abcdefghijkl";
  SafetensorsWriter pieces(folder + "/pieces.safetensors", kTwo, {{"format", "pt"}});
  for (const auto& [begin, size] : {std::pair{0, 1}, {1, 0}, {1, 17}, {18, 4}})
    pieces.write(data.data() + begin, static_cast<uint64_t>(size));
  CHECK_FALSE(std::filesystem::exists(folder + "/pieces.safetensors"));
  pieces.commit();
  write_safetensors(folder + "/whole.safetensors",
                    {{"b", DType::kF32, {2, 2}, data.data()}, {"a", DType::kBF16, {3}, data.data() + 16}},
                    {{"format", "pt"}});
  CHECK(read_file(folder + "/pieces.safetensors") == read_file(folder + "/whole.safetensors"));
  const SafetensorsFile file(folder + "/pieces.safetensors");
  CHECK(bytes_of(file, "b") == data.substr(0, 16));
  CHECK(bytes_of(file, "a") == data.substr(16));
}

TEST_CASE("too few and too many bytes are errors, and no file appears") {
  const std::string folder = fresh_folder("writer_bytes");
  const std::string data(23, 'x');
  {
    SafetensorsWriter few(folder + "/few.safetensors", kTwo);
    few.write(data.data(), 21);
    expect_error([&] { few.commit(); }, {"few.safetensors", "1 bytes"});
    SafetensorsWriter many(folder + "/many.safetensors", kTwo);
    many.write(data.data(), 20);
    expect_error([&] { many.write(data.data(), 3); }, {"many.safetensors", "3 bytes", "2"});
  }
  CHECK(std::filesystem::is_empty(folder));
}
