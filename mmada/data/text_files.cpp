// SPDX-License-Identifier: MIT
#include "mmada/data/text_files.h"

#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"

namespace mmada {
namespace {

constexpr uint64_t kLongestText = 1u << 20;
constexpr std::string_view kWhite = " \t\n\v\f\r";

}  // namespace

std::string stripped(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kWhite) + 1 - begin));
}

std::string checked_text(std::string_view bytes, const std::string& place) {
  MMADA_CHECK(is_utf8(bytes), place, ": found bytes that are not UTF-8, expected text");
  return stripped(bytes);
}

std::string read_text_file(const std::string& path) {
  return checked_text(read_file(path, kLongestText), path);
}

bool is_file(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

}  // namespace mmada
