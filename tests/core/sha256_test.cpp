// SPDX-License-Identifier: MIT
#include "mmada/core/sha256.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

using namespace mmada;

TEST_CASE("SHA-256 gives the published digests") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the message is cut") {
  const std::string message(1000, 'x');
  for (const size_t piece : {1, 3, 55, 56, 63, 64, 65, 127, 999}) {
    Sha256 hash;
    for (size_t i = 0; i < message.size(); i += piece)
      hash.update(message.data() + i, std::min(piece, message.size() - i));
    CHECK(hex(hash.digest()) == sha256_hex(message));
  }
}

TEST_CASE("a file's SHA-256 is that of its bytes") {
  std::filesystem::create_directories(MMADA_TEST_TMP);
  const std::string path = MMADA_TEST_TMP "/sha256.bin", bytes(3'000'001, '\7');
  std::ofstream(path, std::ios::binary) << bytes;
  CHECK(sha256_file(path) == sha256_hex(bytes));
}
