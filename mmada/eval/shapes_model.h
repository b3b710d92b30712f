// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "mmada/eval/shapes_suite.h"
#include "mmada/generation/generator.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// How the suite generates.
struct ShapesSampling {
  /// Replies fill the text budget that the model was trained with: its length less the question's.
  TextOptions text;
  int64_t tokens_per_step = 1;  ///< committed at once; text.steps follows from it
  ImageOptions image;
};

/// The suite's questions put to a generator; what it cannot do without an image tokenizer is left out. The
/// generator must outlive the result.
ShapesModel shapes_model(const Generator& generator, const ShapesSampling& sampling);
/// Reconstruction alone, through an image tokenizer.
ShapesModel shapes_model(const Magvit2& images);

}  // namespace mmada
