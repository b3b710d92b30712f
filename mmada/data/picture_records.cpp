// SPDX-License-Identifier: MIT
#include "mmada/data/picture_records.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "mmada/core/rng.h"

namespace mmada {

namespace fs = std::filesystem;

PictureRecords::PictureRecords(std::string name, std::vector<std::string> pictures, TextOf text, Json skipped)
    : name_(std::move(name)),
      pictures_(std::move(pictures)),
      text_(std::move(text)),
      skipped_(std::move(skipped)) {
  MMADA_CHECK(!pictures_.empty(), name_, ": found no picture with a text (left out: ", skipped_.dump(),
              "), expected at least one");
}

std::optional<Sample> PictureRecords::read(int64_t record, uint64_t n) const {
  return Sample{text_(record, n), read_image(pictures_[record])};
}

Json PictureRecords::extent() const {
  std::string names;
  for (const auto& picture : pictures_) names += picture + '\n';
  const auto hash = static_cast<int64_t>(stream_key(0, names) >> 1);
  return {{"pictures", pictures_.size()}, {"names", hash}};
}

std::vector<std::string> list_pictures(const std::string& folder) {
  static constexpr std::array<std::string_view, 4> kEndings = {".jpg", ".jpeg", ".png", ".webp"};
  std::error_code error;
  std::vector<std::string> pictures;
  fs::directory_iterator entries(folder, error);
  MMADA_CHECK(!error, folder, ": the folder cannot be read: ", error.message());
  for (const auto& entry : entries) {
    std::string ending = entry.path().extension();
    std::ranges::transform(ending, ending.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (std::ranges::count(kEndings, ending) > 0 && entry.is_regular_file()) pictures.push_back(entry.path());
  }
  std::ranges::sort(pictures);
  return pictures;
}

std::string without_ending(const std::string& path) { return fs::path(path).replace_extension().string(); }

}  // namespace mmada
