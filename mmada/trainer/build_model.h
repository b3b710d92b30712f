// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/core/json.h"
#include "mmada/distributed/shard.h"
#include "mmada/model/checkpoint.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// The model that a training configuration's "model" object asks for:
///   "from": a checkpoint directory to continue from, or
///   "architecture": sizes (config.json's keys, an object or the path of a file) for fresh weights, with
///   "tokenizer": directory of the text tokenizer, and "init": how to draw them (SPEC 1.6).
/// Where the architecture gives no vocab_size it is the tokenizer's size plus the codebook's.
struct BuiltModel {
  Model model;  ///< all but the weights
  TransformerConfig sizes;
  ShardedModel::Fill fill;       ///< reads or draws one parameter
  std::string tokenizer_source;  ///< directory or file of the tokenizer
};
BuiltModel build_model(Fields model, int64_t codebook_size, uint64_t seed);

/// Fresh or continued weights of an image tokenizer ("from" or "architecture", "init_seed").
Magvit2 build_image_tokenizer(Fields model, const LoadOptions& load, uint64_t seed);

}  // namespace mmada
