// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mmada/data/shapes.h"
#include "mmada/eval/shapes_score.h"

namespace mmada {

/// What the shapes suite asks of a model, each on a whole batch. An empty function leaves its part of the
/// suite out.
struct ShapesModel {
  /// Replies to questions, one about each picture.
  std::function<std::vector<std::string>(const std::vector<Image>&, const std::vector<std::string>&)> answer;
  /// Replies to questions without a picture.
  std::function<std::vector<std::string>(const std::vector<std::string>&)> solve;
  /// One picture for each caption.
  std::function<std::vector<Image>(const std::vector<std::string>&)> draw;
  /// Pictures through the image tokenizer and back; appends every code that stood for them.
  std::function<std::vector<Image>(const std::vector<Image>&, std::vector<int64_t>& codes)> reconstruct;
};

struct ShapesSuiteOptions {
  ShapesOptions shapes;
  int64_t count = 100;        ///< items in every cell of the tables (kind x split, number of shapes x split)
  int64_t batch = 32;         ///< items handed to the model at once
  uint64_t seed = 987654321;  ///< of the scenes and problems; training uses others
  int64_t most_shapes = 3;
  /// Also asks every question about another scene's picture: what a model gets right without looking.
  bool shuffled = false;
  /// Called with what is being measured and how much of it is done.
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress;
};

/// "seen": scenes of pairs that training shows; "heldout": each has one pair (or is a sum) that it never
/// shows.
struct ShapesSplitResult {
  std::vector<PictureScore> draw;                          ///< [i]: prompts of i + 1 shapes
  std::map<QuestionKind, AnswerScore> questions;           ///< true pictures
  std::map<QuestionKind, AnswerScore> shuffled_questions;  ///< another scene's picture
  AnswerScore arithmetic;
  ReconstructionScore reconstruction;
};
struct ShapesResult {
  ShapesSplitResult seen, heldout;
};

/// A scene with a question of one kind about it: the index-th of a split, a pure function.
struct AskedScene {
  Scene scene;
  Question question;
};
AskedScene asked_scene(const ShapesSuiteOptions& options, ShapesSplit split, QuestionKind kind,
                       int64_t index);

/// Runs every part whose function the model has. Deterministic for a deterministic model.
ShapesResult run_shapes_suite(const ShapesModel& model, const ShapesSuiteOptions& options);

/// Right answers over all kinds but "describe" (many words long, listed by itself) and the mean of their
/// chances.
AnswerScore all_questions(const std::map<QuestionKind, AnswerScore>& questions);
Json shapes_result_json(const ShapesResult& result, const ShapesModel& model);
/// The same for people.
std::string shapes_result_text(const Json& result);

}  // namespace mmada
