// SPDX-License-Identifier: MIT
#include "mmada/data/webdataset_shard.h"

#include <algorithm>
#include <array>
#include <set>

#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/data/text_files.h"

namespace mmada {
namespace {

constexpr std::array<std::string_view, 4> kPictures = {"jpg", "jpeg", "png", "webp"};
/// The best first.
constexpr std::array<std::string_view, 4> kTexts = {"txt", "text", "caption", "json"};

/// "a/000.seg.PNG" -> key "a/000", ending "seg.png"; empty where the name has no such form.
struct SplitName {
  std::string key, ending;
};
SplitName split(const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  const size_t dot = name.find('.', begin);
  if (dot == std::string::npos || dot == begin) return {};
  std::string ending = name.substr(dot + 1);
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return {name.substr(0, dot), ending};
}

}  // namespace

ShardReader::ShardReader(const std::string& path, std::string text_key, const Limits& limits)
    : path_(path), text_key_(std::move(text_key)), reader_(path, limits) {}

bool ShardReader::find_member() {
  while (const auto member = reader_.next()) {
    auto [key, ending] = split(member->name);
    if (key.empty()) continue;
    waiting_ = Member{std::move(key), std::move(ending), member->name};
    return true;
  }
  waiting_.reset();
  return false;
}

std::optional<ShardSample> ShardReader::next(bool contents) {
  if (!waiting_ && !find_member()) return std::nullopt;
  ShardSample sample{
      .index = samples_, .key = waiting_->key, .image = {}, .image_place = {}, .text = {}, .damage = {}};
  std::set<std::string> endings;
  size_t text_rank = kTexts.size();
  while (waiting_ && waiting_->key == sample.key && endings.insert(waiting_->ending).second) {
    if (contents) take(sample, text_rank);
    find_member();
  }
  ++samples_;
  return sample;
}

void ShardReader::take(ShardSample& sample, size_t& text_rank) {
  const std::string place = cat(path_, ": member ", quote(waiting_->name));
  if (std::ranges::count(kPictures, waiting_->ending) > 0) {
    sample.image = reader_.read();
    sample.image_place = place;
    return;
  }
  const auto rank = static_cast<size_t>(std::ranges::find(kTexts, waiting_->ending) - kTexts.begin());
  if (rank >= text_rank) return;  // not a text, or one less wanted than what was found
  const std::string bytes = reader_.read();
  try {
    if (waiting_->ending != "json") {
      sample.text = checked_text(bytes, place);
    } else {
      const Json json = parse_json(bytes, place);
      Fields fields(json, place);
      if (!fields.has(text_key_)) return;
      sample.text = stripped(fields.string(text_key_));
    }
    text_rank = rank;
  } catch (const Error& error) {
    sample.damage = error.what();
  }
}

}  // namespace mmada
