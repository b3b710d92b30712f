// SPDX-License-Identifier: MIT
#include "mmada/rewards/shape_scene_reward.h"

#include <algorithm>

#include "mmada/eval/shape_finder.h"
#include "mmada/eval/shapes_score.h"

namespace mmada {
namespace {

class ShapeSceneReward final : public Reward {
 public:
  ShapeSceneReward(const ShapesOptions& options, double exact)
      : options_(options), finder_(options), exact_(exact) {}

  Scores score(std::span<const RewardSample> samples) override {
    Scores scores;
    for (const RewardSample& sample : samples) scores.push_back(score_of(sample));
    return scores;
  }

 private:
  std::optional<double> score_of(const RewardSample& sample) const {
    const Json scene = sample.metadata.value("scene", Json());
    if (!sample.image || scene.is_null()) return std::nullopt;
    const Scene expected = parse_scene(options_, scene, "metadata");
    const FoundScene found = finder_.find(*sample.image);
    PictureScore picture;
    picture.add(found, expected);
    const double attributes =
        (picture.presence.share() + picture.shape.share() + picture.color.share() + picture.size.share()) / 4;
    const auto stray = std::ranges::count_if(found.scene, [&](const SceneObject& object) {
      return std::ranges::none_of(expected,
                                  [&](const SceneObject& other) { return other.cell == object.cell; });
    });
    const auto objects = static_cast<double>(expected.size());
    const double share = attributes * objects / (objects + static_cast<double>(stray + found.unreadable));
    return (1 - exact_) * share + (picture.exact.right > 0 ? exact_ : 0.0);
  }

  ShapesOptions options_;
  ShapeFinder finder_;
  double exact_;
};

}  // namespace

std::unique_ptr<Reward> make_shape_scene_reward(Fields fields) {
  fields.ignore("type");
  const double exact = fields.number("exact", 0.0, 1.0, 0.5);
  Fields shapes = fields.object("shapes");
  const ShapesOptions options = parse_shapes_options(shapes);
  shapes.finish();
  fields.finish();
  return std::make_unique<ShapeSceneReward>(options, exact);
}

}  // namespace mmada
