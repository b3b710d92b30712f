// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"

namespace mmada {

/// How much of its prompt's scene a drawn picture shows, read back by ShapeFinder: for the pocket model.
///   {"type": "shape_scene", "exact": 0.5, "shapes": {...}}
/// Of each object of metadata "scene" a quarter for some shape in its cell, and one each for the shape, the
/// colour and the size being right there, divided by the objects and by whatever else the picture shows. This
/// share makes 1 - exact of the score, and a picture that shows the scene and nothing else gets the rest:
/// scores lie in [0, 1]. "shapes": ShapesOptions. Abstains without a picture or a scene.
std::unique_ptr<Reward> make_shape_scene_reward(Fields fields);

}  // namespace mmada
