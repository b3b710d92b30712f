// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/model/checkpoint_reader.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// An image tokenizer's folder of which everything was read and compared but the weights.
struct OpenImageTokenizer {
  Magvit2Config config;
  CheckpointReader reader;
};
/// The first half of load_image_tokenizer, with its errors.
OpenImageTokenizer open_image_tokenizer(const std::string& directory);

}  // namespace mmada
