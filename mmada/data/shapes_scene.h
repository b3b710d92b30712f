// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/rng.h"
#include "mmada/data/shapes_options.h"

namespace mmada {

/// One shape of a scene; every attribute is an index into the options' lists, the cell counts row-major.
struct SceneObject {
  int shape = 0;
  int color = 0;
  int size = 0;
  int cell = 0;
  auto operator<=>(const SceneObject&) const = default;
};
/// Objects in reading order (rising cells).
using Scene = std::vector<SceneObject>;

/// kTrain never shows a held-out pair (or sum); every scene of kHeldOut has exactly one object whose (shape,
/// colour) pair training never shows, every problem a sum that it never shows.
enum class ShapesSplit { kTrain, kHeldOut };
ShapesSplit shapes_split_from_name(const std::string& name);  ///< "train" | "heldout"
const char* shapes_split_name(ShapesSplit split);

/// A scene of `count` shapes.
Scene draw_scene(const ShapesOptions& options, ShapesSplit split, int64_t count, Rng& rng);
/// An index drawn with probability proportional to its weight.
size_t draw_weighted(const double* weights, size_t count, Rng& rng);

/// "a large red circle at top left and a small blue star at bottom right"
std::string scene_caption(const ShapesOptions& options, const Scene& scene);
/// "large red circle at top left"
std::string object_phrase(const ShapesOptions& options, const SceneObject& object, bool with_cell = true);
/// "red circle"; "mixed circle" and "red blob" where options.mixed and options.blobs ask for them
std::string object_name(const ShapesOptions& options, const SceneObject& object);
Json scene_json(const ShapesOptions& options, const Scene& scene);
Scene parse_scene(const ShapesOptions& options, const Json& json, const std::string& source);

/// A question with the reasoning that leads to its answer.
struct Question {
  QuestionKind kind = QuestionKind::kDescribe;
  std::string text;
  std::string reasoning;  ///< empty: answered without thinking
  std::string answer;     ///< what counts as right or wrong

  /// "<think> reasoning </think> answer", or the bare answer.
  std::string reply() const;
};

/// The reasoning behind every answer but a description's looks at each cell in turn: two words of the
/// question, what the cell holds, and whether that is what the question is about. "the star large red square
/// no the star an empty cell no the star an empty cell no the star small blue star yes". Six words a cell,
/// each with its place, so that words of the cell can be read off the picture, words of the question copied,
/// and the verdict told from the five words before it: a small model that had to fetch the question's words
/// from afar never learned to compare them.
///
/// A question of this kind about the scene, or nothing where the scene cannot answer it (comparing needs two
/// shapes with different names, colour and place need a unique shape).
std::optional<Question> ask(const ShapesOptions& options, const Scene& scene, QuestionKind kind, Rng& rng);

/// Comparisons without pictures, as questions make them (see ask), half of them matches: "red square small
/// red star no the star small red star yes ...". `groups` of them.
std::string draw_matches(const ShapesOptions& options, int64_t groups, Rng& rng);

/// "what is 47+35?" with digit-by-digit reasoning; no blanks, because every blank before a digit is a token
/// of its own where digits are split.
struct ArithmeticProblem {
  int64_t a = 0, b = 0;
  std::string text;
  std::string reasoning;
  std::string answer;

  /// "<think>7+5=12;4+3+1=08</think>82"
  std::string reply() const;
};
ArithmeticProblem draw_problem(const ShapesOptions& options, ShapesSplit split, Rng& rng);
ArithmeticProblem make_problem(int64_t a, int64_t b);

}  // namespace mmada
