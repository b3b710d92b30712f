// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "mmada/data/shapes_render.h"
#include "mmada/data/shapes_scene.h"

namespace mmada {

/// One picture with its caption and a question about it. The picture is render_scene(options, scene).
struct ShapesSample {
  Scene scene;
  std::string caption;
  Question question;
};

/// Pure functions of (options, split, seed, index): any index in any order, on any machine.
ShapesSample shapes_sample(const ShapesOptions& options, ShapesSplit split, uint64_t seed, uint64_t index);
ArithmeticProblem arithmetic_sample(const ShapesOptions& options, ShapesSplit split, uint64_t seed,
                                    uint64_t index);
Image free_picture(const ShapesOptions& options, uint64_t seed, uint64_t index);

}  // namespace mmada
