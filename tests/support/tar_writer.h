// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstring>
#include <string>

namespace mmada::testing {

/// One member of a ustar archive: header, contents, padding. `type` '0' is a file, '5' a folder, '1' and '2'
/// links to "target". Names have at most 100 bytes.
inline std::string tar_member(const std::string& name, const std::string& contents, char type = '0') {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    std::memcpy(&block[at], text.data(), text.size());
  };
  char size[12], sum[8];
  std::snprintf(size, sizeof size, "%011zo", contents.size());
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, size);
  put(136, "00000000000");
  put(148, "        ");  // the checksum counts itself as blanks
  block[156] = type;
  if (type == '1' || type == '2') put(157, "target");
  put(257, std::string("ustar\00000", 8));
  unsigned total = 0;
  for (const char c : block) total += static_cast<unsigned char>(c);
  std::snprintf(sum, sizeof sum, "%06o", total);
  put(148, std::string(sum, 7));
  std::string padded = contents;
  padded.resize((contents.size() + 511) / 512 * 512);
  return block + padded;
}
inline std::string tar_end() { return std::string(1024, '\0'); }

}  // namespace mmada::testing
