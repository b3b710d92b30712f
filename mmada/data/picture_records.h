// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mmada/data/records.h"

namespace mmada {

/// A list of picture files with a text for each: what the sources of folders and tables are made of. The
/// extent is the number of pictures and a hash of their paths.
struct PictureRecords final : Records {
  using TextOf = std::function<std::string(int64_t record, uint64_t n)>;
  PictureRecords(std::string name, std::vector<std::string> pictures, TextOf text, Json skipped);

  std::vector<int64_t> blocks() const override { return {static_cast<int64_t>(pictures_.size())}; }
  std::optional<Sample> read(int64_t record, uint64_t n) const override;
  Json extent() const override;
  std::string name() const override { return name_; }
  Json skipped() const override { return skipped_; }

 private:
  std::string name_;
  std::vector<std::string> pictures_;
  TextOf text_;
  Json skipped_;
};

/// Paths of the folder's .jpg, .jpeg, .png and .webp files (endings in any case), sorted. Folders inside are
/// not looked into.
std::vector<std::string> list_pictures(const std::string& folder);
/// The path without the ending of its file name.
std::string without_ending(const std::string& path);

}  // namespace mmada
