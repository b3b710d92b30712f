// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// The outlines that can be drawn; options list a subset by name.
enum class Outline { kCircle, kSquare, kTriangle, kStar };
Outline outline_from_name(const std::string& name, const std::string& source);
const char* outline_name(Outline outline);

inline constexpr double kStarReach = 1.08;  ///< the outermost point of any outline, in radii

struct NamedColor {
  std::string name;
  std::array<uint8_t, 3> rgb{};
  bool operator==(const NamedColor&) const = default;
};

struct NamedSize {
  std::string name;
  double radius = 0;  ///< pixels, from the cell's centre
  bool operator==(const NamedSize&) const = default;
};

/// What a question asks of a picture.
enum class QuestionKind { kDescribe, kWhatAt, kColor, kWhere, kCount, kCompare };
inline constexpr int kQuestionKinds = 6;
const char* question_kind_name(
    QuestionKind kind);  ///< "describe", "what_at", "color", "where", "count", "compare"

/// How many shapes a scene holds, for a stretch of the stream: weights of 1, 2, 3, ... shapes.
struct CountStage {
  int64_t until = 0;  ///< first sample index that this stage no longer covers
  std::vector<double> weights;
  bool operator==(const CountStage&) const = default;
};

/// Everything that defines the procedural pictures and texts of the pocket model. Objects are large (a cell
/// spans several image tokens): with small shapes on a finer grid a small model took too long to look at its
/// condition.
struct ShapesOptions {
  int64_t canvas = 64;  ///< side of the square picture in pixels
  int64_t rows = 2;     ///< cells; at most 3 x 3, each holds at most one shape
  int64_t columns = 2;
  std::vector<Outline> shapes = {Outline::kCircle, Outline::kSquare, Outline::kTriangle, Outline::kStar};
  std::vector<NamedColor> colors = {{"red", {220, 40, 40}},     {"green", {40, 170, 60}},
                                    {"blue", {50, 80, 220}},    {"yellow", {235, 205, 40}},
                                    {"purple", {150, 60, 190}}, {"orange", {245, 140, 30}},
                                    {"cyan", {60, 200, 210}},   {"black", {30, 30, 30}}};
  std::vector<NamedSize> sizes = {{"small", 8.0}, {"large", 14.0}};  ///< from small to large
  std::array<uint8_t, 3> background = {255, 255, 255};
  int64_t supersampling = 2;  ///< points per pixel and axis that decide a pixel's coverage

  /// Every other picture of a question source: radii vary by up to this share, and centres by up to this
  /// share of a cell as far as the cell has room. 0: none do.
  double wobble = 0.0;
  /// Shares of a question source's objects that are in two colours at once ("mixed") or of no named outline
  /// ("blob"). Pairs with either are never held out: they teach every outline apart from its colour, every
  /// colour apart from its outline, and show no held-out pair.
  double mixed = 0.0, blobs = 0.0;

  std::vector<double> count_weights = {0.35, 0.4, 0.25};  ///< of 1, 2, 3, ... shapes
  std::vector<CountStage> stages;  ///< a curriculum before count_weights applies, by sample index
  /// In the order of QuestionKind. A kind the scene cannot answer falls back to "what is at".
  std::array<double, kQuestionKinds> question_weights = {0.2, 0.2, 0.15, 0.15, 0.15, 0.15};

  /// A (shape, colour) pair is held out when (shape index + colour index) % pair_modulus == 0; 0 holds
  /// nothing out.
  int64_t pair_modulus = 8;
  /// A `sum_modulus`-th of the ordered sums a + b is held out, chosen by a hash: a rule linear in the digits
  /// would hold out whole digit pairs, and no model can know 3 + 1 in the units that never saw it. 0 holds
  /// nothing out.
  int64_t sum_modulus = 10;
  int64_t operand_min = 10, operand_max = 99;  ///< two-digit operands of the arithmetic problems

  int64_t cells() const { return rows * columns; }
  bool is_blob(int shape) const { return shape == static_cast<int>(shapes.size()); }
  bool is_mixed(int color) const { return color == static_cast<int>(colors.size()); }
  bool pair_held_out(int shape, int color) const {
    return pair_modulus > 0 && !is_blob(shape) && !is_mixed(color) && (shape + color) % pair_modulus == 0;
  }
  /// Names of an object's attributes; one past the last is "blob" and "mixed".
  std::string shape_name(int shape) const;
  std::string color_name(int color) const;
  bool sum_held_out(int64_t a, int64_t b) const;
  /// Weights of the shape counts that hold at a sample index.
  const std::vector<double>& count_weights_at(uint64_t index) const;
  /// The cell's name in texts, such as "top left"; row-major.
  std::string cell_name(int64_t cell) const;

  bool operator==(const ShapesOptions&) const = default;
};

/// Reads the options out of an object's fields (all optional) without finishing it, so that a source's own
/// keys may stand beside them; contradictions are errors that name the field.
ShapesOptions parse_shapes_options(Fields& fields);
/// The options in a JSON file (comments allowed); an empty path gives the defaults.
ShapesOptions read_shapes_options(const std::string& path);
Json shapes_options_json(const ShapesOptions& options);

}  // namespace mmada
