// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "mmada/model/checkpoint.h"
#include "mmada/model/checkpoint_reader.h"

namespace mmada {

/// A checkpoint folder of which everything was read and compared but the weights: of those the headers alone,
/// which were found to hold exactly the tensors of this network.
struct OpenCheckpoint {
  Json json;  ///< config.json as read
  TransformerConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< may be null
  TokenLayout layout;
  CheckpointReader reader;
};
/// The first half of load_model, with its errors; memory does not grow with the weights.
OpenCheckpoint open_checkpoint(const std::string& directory);

}  // namespace mmada
