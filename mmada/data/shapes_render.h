// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "mmada/core/rng.h"
#include "mmada/data/shapes_scene.h"
#include "mmada/formats/image_file.h"

namespace mmada {

/// A placed outline's coverage: how many of a pixel's supersampling^2 points lie inside, 0 elsewhere;
/// row-major [canvas, canvas].
std::vector<uint8_t> outline_coverage(const ShapesOptions& options, Outline outline, double center_x,
                                      double center_y, double radius);
/// Centre (x, y) of a cell in pixels.
std::pair<double, double> cell_center(const ShapesOptions& options, int64_t cell);

/// The antialiased picture of a scene: a pure function in integers, the same on every machine.
Image render_scene(const ShapesOptions& options, const Scene& scene);
/// What a question source shows: the same, or with radii and centres that vary by options.wobble (every shape
/// stays inside its cell), with mixed objects in two colours, half and half, and with random polygons for
/// blobs.
Image render_varied(const ShapesOptions& options, const Scene& scene, bool wobble, Rng& rng);

/// A picture for training an image tokenizer, denser than a scene and with no held-out pair on it: two or
/// more cells are filled; in half of the pictures centres and radii wander and some shapes are random
/// polygons in any colour.
Image render_free(const ShapesOptions& options, Rng& rng);

}  // namespace mmada
