// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmada {

/// SHA-256 (FIPS 180-4), fed in pieces. Identifies what a file or a picture holds.
class Sha256 {
 public:
  void update(const void* data, size_t bytes);
  std::array<uint8_t, 32> digest();  ///< ends the message; the object is used up

 private:
  void block(const uint8_t* data);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> buffer_{};
  uint64_t bytes_ = 0;
};

std::string hex(const std::array<uint8_t, 32>& digest);
std::string sha256_hex(std::string_view data);
/// Of a file's content, read piece by piece.
std::string sha256_file(const std::string& path);

}  // namespace mmada
