// SPDX-License-Identifier: MIT
#include "mmada/vision/magvit2.h"

namespace mmada {

namespace {

constexpr int64_t kMaxChannels = 4096, kMaxMult = 64, kMaxBlocks = 64, kMaxBits = 24;
constexpr size_t kMaxLevels = 8;

/// One half of the file: {"ch": 128, "ch_mult": [...], "num_res_blocks": [...], "z_channels": 13}.
struct Half {
  int64_t channels, bits;
  std::vector<int64_t> mult, blocks;
};

Half parse_half(Fields fields, int64_t norm_groups) {
  Half half;
  half.channels = fields.integer("ch", 1, kMaxChannels);
  half.bits = fields.integer("z_channels", 1, kMaxBits);
  half.mult = fields.integers("ch_mult", 1, kMaxMult);
  half.blocks = fields.integers("num_res_blocks", 0, kMaxBlocks);
  if (half.mult.empty() || half.mult.size() > kMaxLevels)
    fields.fail("ch_mult", cat(half.mult.size(), " levels"), cat("1 to ", kMaxLevels));
  if (half.blocks.size() != half.mult.size())
    fields.fail("num_res_blocks", cat(half.blocks.size(), " numbers"),
                cat("one per level: ", half.mult.size()));
  if (half.channels % norm_groups != 0)
    fields.fail("ch", cat(half.channels), cat("a multiple of norm_groups ", norm_groups));
  fields.finish();
  return half;
}

Json half_json(int64_t channels, int64_t bits, const std::vector<int64_t>& mult,
               const std::vector<int64_t>& blocks) {
  return {{"ch", channels}, {"ch_mult", mult}, {"num_res_blocks", blocks}, {"z_channels", bits}};
}

}  // namespace

Magvit2Config parse_magvit2_config(const Json& json, const std::string& source) {
  Fields fields(json, source);
  for (const char* key : {"_class_name", "_diffusers_version", "_name_or_path"}) fields.ignore(key);
  Magvit2Config config;
  config.norm_groups = fields.integer("norm_groups", 1, kMaxChannels, config.norm_groups);
  const bool sized = fields.has("encoder") || fields.has("decoder");
  if (sized) {
    const Half encoder = parse_half(fields.object("encoder"), config.norm_groups);
    const Half decoder = parse_half(fields.object("decoder"), config.norm_groups);
    const auto agree = [&](const char* field, int64_t found, int64_t expected) {
      if (found != expected) fields.fail(field, cat(found), cat("the encoder's ", expected));
    };
    agree("decoder.ch", decoder.channels, encoder.channels);
    agree("decoder.z_channels", decoder.bits, encoder.bits);
    agree("decoder.ch_mult", std::ssize(decoder.mult), std::ssize(encoder.mult));
    config = {.channels = encoder.channels,
              .bits = encoder.bits,
              .encoder_mult = encoder.mult,
              .encoder_blocks = encoder.blocks,
              .decoder_mult = decoder.mult,
              .decoder_blocks = decoder.blocks,
              .norm_groups = config.norm_groups};
  }
  fields.finish();
  return config;
}

Json magvit2_config_json(const Magvit2Config& config) {
  return {{"_class_name", "MAGVITv2"},
          {"encoder", half_json(config.channels, config.bits, config.encoder_mult, config.encoder_blocks)},
          {"decoder", half_json(config.channels, config.bits, config.decoder_mult, config.decoder_blocks)},
          {"norm_groups", config.norm_groups}};
}

}  // namespace mmada
