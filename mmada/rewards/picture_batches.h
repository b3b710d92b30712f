// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mmada/rewards/reward.h"

namespace mmada {

/// A text and the picture that it is compared with; none where there is no picture.
struct TextAndPicture {
  std::string text;
  const Image* picture = nullptr;
};

/// Scores [B] of texts and as many pictures.
using JudgePictures =
    std::function<at::Tensor(std::span<const std::string> texts, std::span<const Image* const> pictures)>;

/// Scores pairs that have a picture, `batch` at a time; the others have none.
Scores judge_in_batches(std::span<const TextAndPicture> pairs, int64_t batch, const JudgePictures& judge);

}  // namespace mmada
