// SPDX-License-Identifier: MIT
#include "mmada/data/shapes.h"

namespace mmada {
namespace {

std::string stream_name(const char* what, ShapesSplit split) {
  return cat("shapes/", what, "/", shapes_split_name(split));
}

}  // namespace

ShapesSample shapes_sample(const ShapesOptions& options, ShapesSplit split, uint64_t seed, uint64_t index) {
  Rng rng(seed, stream_name("scene", split), index);
  const auto& weights = options.count_weights_at(index);
  const auto count = static_cast<int64_t>(draw_weighted(weights.data(), weights.size(), rng)) + 1;
  ShapesSample sample;
  sample.scene = draw_scene(options, split, count, rng);
  sample.caption = scene_caption(options, sample.scene);
  const auto kind =
      static_cast<QuestionKind>(draw_weighted(options.question_weights.data(), kQuestionKinds, rng));
  const auto question = ask(options, sample.scene, kind, rng);
  sample.question = question ? *question : *ask(options, sample.scene, QuestionKind::kWhatAt, rng);
  return sample;
}

ArithmeticProblem arithmetic_sample(const ShapesOptions& options, ShapesSplit split, uint64_t seed,
                                    uint64_t index) {
  Rng rng(seed, stream_name("arithmetic", split), index);
  return draw_problem(options, split, rng);
}

Image free_picture(const ShapesOptions& options, uint64_t seed, uint64_t index) {
  Rng rng(seed, "shapes/free", index);
  return render_free(options, rng);
}

}  // namespace mmada
