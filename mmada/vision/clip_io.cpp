// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/vision/clip.h"
#include "mmada/vision/load_network.h"
#include "mmada/vision/text_rows.h"

namespace mmada {

namespace {

constexpr const char* kStart = "<|startoftext|>";
constexpr const char* kEnd = "<|endoftext|>";

/// The side of {"shortest_edge": N}, {"height": N, "width": N} or N.
int64_t side_of(Fields& fields, const std::string& key) {
  if (!fields.raw(key).is_object()) return fields.integer(key, 1, 1 << 16);
  Fields size = fields.object(key);
  if (size.has("shortest_edge")) return size.integer("shortest_edge", 1, 1 << 16);
  const int64_t height = size.integer("height", 1, 1 << 16);
  size.integer("width", height, height);
  return height;
}

/// A preprocessor_config.json that asks for what pixels() does, with its own scale.
ChannelScale parse_scale(const Json& json, const std::string& source, int64_t image_size) {
  Fields fields(json, source);
  for (const char* step : {"do_resize", "do_center_crop", "do_normalize", "do_rescale"})
    if (!fields.boolean(step, true)) fields.fail(step, "false", "true (every step of CLIP's)");
  fields.integer("resample", 3, 3, 3);  // bicubic
  for (const char* key : {"size", "crop_size"})
    if (fields.has(key) && side_of(fields, key) != image_size)
      fields.fail(key, cat(side_of(fields, key)), cat("the network's image_size ", image_size));
  ChannelScale scale = kClipScale;
  const auto channels = [&](const char* key, std::array<double, 3>& values, double least) {
    const std::vector<double> found =
        fields.numbers(key, least, 1e3, std::vector<double>(values.begin(), values.end()));
    if (found.size() != 3) fields.fail(key, cat(found.size(), " numbers"), "3");
    std::ranges::copy(found, values.begin());
  };
  channels("image_mean", scale.mean, -1e3);
  channels("image_std", scale.deviation, 1e-6);
  return scale;
}

int64_t require_token(const Tokenizer& tokenizer, const char* token, const std::string& directory) {
  const auto id = tokenizer.token_id(token);
  MMADA_CHECK(id, directory, ": the tokenizer: found no token ", token, ", expected a CLIP tokenizer");
  return *id;
}

/// Throws unless the tokenizer's ids are those of the network.
void check_ids(const ClipConfig& config, const Tokenizer& tokenizer, int64_t end_id,
               const std::string& directory) {
  MMADA_CHECK(tokenizer.size() <= config.vocabulary, directory, ": the tokenizer: found ", tokenizer.size(),
              " ids, expected at most the network's ", config.vocabulary);
  const int64_t expected = config.end_id == 2 ? tokenizer.size() - 1 : config.end_id;
  MMADA_CHECK(end_id == expected, directory, ": the tokenizer: found ", kEnd, " with id ", end_id,
              ", expected ", expected, config.end_id == 2 ? ", the highest" : ", the network's eos_token_id");
}

}  // namespace

at::Tensor ClipModel::ids(std::span<const std::string> texts) const {
  std::vector<TokenIds> rows;
  for (const std::string& text : texts)
    rows.push_back(vision::framed(tokenizer->encode(text), start_id, end_id, network.config().positions));
  return vision::rows_to_tensor(rows, end_id);
}

at::Tensor ClipModel::pixels(std::span<const Image* const> images) const {
  const int64_t side = network.config().grid.image_size;
  std::vector<at::Tensor> rows;
  for (const Image* image : images) rows.push_back(scaled_pixels(*image, side, side, Fit::kClipFloor, scale));
  return at::stack(rows);
}

ClipModel load_clip(const std::string& directory, const LoadOptions& options) {
  const std::string source = directory + "/config.json", processor = directory + "/preprocessor_config.json";
  const ClipConfig config = parse_clip_config(read_json_file(source), source);
  const auto tokenizer = load_tokenizer(directory);
  const int64_t start_id = require_token(*tokenizer, kStart, directory);
  const int64_t end_id = require_token(*tokenizer, kEnd, directory);
  check_ids(config, *tokenizer, end_id, directory);
  const ChannelScale scale = std::filesystem::exists(processor)
                                 ? parse_scale(read_json_file(processor), processor, config.grid.image_size)
                                 : kClipScale;
  Clip network = vision::load_network(
      directory, [&](at::TensorOptions o) { return Clip(config, o); },
      {"logit_scale", "text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"}, options);
  return {std::move(network), tokenizer, start_id, end_id, scale};
}

}  // namespace mmada
