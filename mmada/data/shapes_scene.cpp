// SPDX-License-Identifier: MIT
#include "mmada/data/shapes_scene.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace mmada {
namespace {

template <class Items>
int draw_index(const Items& items, Rng& rng) {
  return static_cast<int>(rng.below(items.size()));
}

/// The objects whose name satisfies nothing but uniqueness: what "the red star" may refer to.
template <class Key>
std::vector<const SceneObject*> unique_by(const Scene& scene, Key key) {
  std::vector<const SceneObject*> unique;
  for (const auto& object : scene) {
    const auto same = [&](const SceneObject& other) { return key(other) == key(object); };
    if (std::count_if(scene.begin(), scene.end(), same) == 1) unique.push_back(&object);
  }
  return unique;
}

int64_t name_key(const SceneObject& object) { return object.shape * 4096 + object.color; }

/// Whether a cell is what the question is about.
using Verdict = std::function<bool(const SceneObject&)>;

std::string scan(const ShapesOptions& options, const Scene& scene, const std::string& words,
                 const Verdict& verdict) {
  std::string text;
  for (int64_t cell = 0; cell < options.cells(); ++cell) {
    const auto object =
        std::find_if(scene.begin(), scene.end(), [&](const auto& o) { return o.cell == cell; });
    text += (text.empty() ? "" : " ") + words;
    text += object == scene.end()
                ? " an empty cell no"
                : cat(" ", object_phrase(options, *object, false), verdict(*object) ? " yes" : " no");
  }
  return text;
}

Verdict only(const SceneObject& wanted) {
  return [cell = wanted.cell](const SceneObject& object) { return object.cell == cell; };
}

Question ask_describe(const ShapesOptions& options, const Scene& scene) {
  return {QuestionKind::kDescribe, "describe the picture", "", scene_caption(options, scene)};
}

Question ask_what_at(const ShapesOptions& options, const Scene& scene, Rng& rng) {
  const SceneObject& object = scene[rng.below(scene.size())];
  const std::string cell = options.cell_name(object.cell);
  return {QuestionKind::kWhatAt, cat("what is at ", cell, "?"), scan(options, scene, cell, only(object)),
          object_name(options, object)};
}

std::optional<Question> ask_color(const ShapesOptions& options, const Scene& scene, Rng& rng) {
  const auto candidates = unique_by(scene, [](const SceneObject& object) { return object.shape; });
  if (candidates.empty()) return {};
  const SceneObject& object = *candidates[rng.below(candidates.size())];
  const std::string shape = options.shape_name(object.shape);
  return Question{QuestionKind::kColor, cat("what color is the ", shape, "?"),
                  scan(options, scene, "the " + shape, only(object)), options.color_name(object.color)};
}

std::optional<Question> ask_where(const ShapesOptions& options, const Scene& scene, Rng& rng) {
  const auto candidates = unique_by(scene, name_key);
  if (candidates.empty()) return {};
  const SceneObject& object = *candidates[rng.below(candidates.size())];
  const std::string name = object_name(options, object);
  return Question{QuestionKind::kWhere, cat("where is the ", name, "?"),
                  scan(options, scene, name, only(object)), options.cell_name(object.cell)};
}

Question ask_count(const ShapesOptions& options, const Scene& scene, Rng& rng) {
  if (rng.uniform() < 0.5)
    return {QuestionKind::kCount, "how many shapes?",
            scan(options, scene, "many shapes", [](const auto&) { return true; }),
            std::to_string(scene.size())};
  // Mostly a colour that is there; sometimes any, so that "0" is an answer too.
  const bool present = rng.uniform() >= 0.35;
  const int color = present ? scene[rng.below(scene.size())].color : draw_index(options.colors, rng);
  const auto wanted = [&](const SceneObject& object) { return object.color == color; };
  const std::string words = options.color_name(color) + " shapes";
  return {QuestionKind::kCount, cat("how many ", words, "?"), scan(options, scene, words, wanted),
          std::to_string(std::count_if(scene.begin(), scene.end(), wanted))};
}

/// The scan finds the first of the two; behind it stands the second with its size.
std::optional<Question> ask_compare(const ShapesOptions& options, const Scene& scene, Rng& rng) {
  using Pair = std::pair<const SceneObject*, const SceneObject*>;
  std::vector<Pair> all, unequal;
  for (const SceneObject* a : unique_by(scene, name_key))
    for (const SceneObject* b : unique_by(scene, name_key)) {
      if (a != b) all.push_back({a, b});
      if (a->size != b->size) unequal.push_back({a, b});
    }
  if (all.empty()) return {};
  // Mostly different sizes, else "no" would be right three times in four.
  const auto& pairs = !unequal.empty() && rng.uniform() < 0.8 ? unequal : all;
  const auto& [a, b] = pairs[rng.below(pairs.size())];
  const std::string first = object_name(options, *a), second = object_name(options, *b);
  return Question{QuestionKind::kCompare, cat("is the ", first, " larger than the ", second, "?"),
                  cat(scan(options, scene, first, only(*a)), " ", second, " ", options.sizes[b->size].name),
                  a->size > b->size ? "yes" : "no"};
}

SceneObject draw_object(const ShapesOptions& options, bool held, Rng& rng) {
  SceneObject object;
  do {
    object.shape = draw_index(options.shapes, rng);
    object.color = draw_index(options.colors, rng);
  } while (options.pair_held_out(object.shape, object.color) != held);
  object.size = draw_index(options.sizes, rng);
  if (!held && options.mixed > 0 && rng.uniform() < options.mixed)
    object.color = static_cast<int>(options.colors.size());
  else if (!held && options.blobs > 0 && rng.uniform() < options.blobs)
    object.shape = static_cast<int>(options.shapes.size());
  return object;
}

template <class Items, class Name>
int index_of(const Items& items, Name name_of, const std::string& name, const std::string& source,
             const char* field) {
  for (size_t i = 0; i < items.size(); ++i)
    if (name_of(items[i]) == name) return static_cast<int>(i);
  throw Error(cat(source, ": field `", field, "`: found \"", name, "\", expected a name of the options"));
}

std::string with_reasoning(const std::string& reasoning, const std::string& answer) {
  return reasoning.empty() ? answer : cat("<think> ", reasoning, " </think> ", answer);
}

}  // namespace

ShapesSplit shapes_split_from_name(const std::string& name) {
  if (name == "train") return ShapesSplit::kTrain;
  if (name == "heldout") return ShapesSplit::kHeldOut;
  throw UsageError(cat("split: found \"", name, "\", expected train or heldout"));
}

const char* shapes_split_name(ShapesSplit split) {
  return split == ShapesSplit::kTrain ? "train" : "heldout";
}

size_t draw_weighted(const double* weights, size_t count, Rng& rng) {
  const double total = std::accumulate(weights, weights + count, 0.0);
  double left = rng.uniform() * total;
  size_t last = 0;  // the last index with a weight catches what rounding leaves over
  for (size_t i = 0; i < count; ++i) {
    if (weights[i] <= 0.0) continue;
    last = i;
    if (left < weights[i]) return i;
    left -= weights[i];
  }
  return last;
}

Scene draw_scene(const ShapesOptions& options, ShapesSplit split, int64_t count, Rng& rng) {
  MMADA_CHECK(count >= 1 && count <= options.cells(), "scene: found ", count, " shapes, expected 1 to ",
              options.cells());
  MMADA_CHECK(split == ShapesSplit::kTrain || options.pair_modulus > 0,
              "scene: split heldout needs `pair_modulus` above 0");
  auto cells = rng.permutation(options.cells());
  cells.resize(static_cast<size_t>(count));
  std::sort(cells.begin(), cells.end());
  const auto held_place = static_cast<int64_t>(rng.below(static_cast<uint64_t>(count)));
  Scene scene;
  for (int64_t place = 0; place < count; ++place) {
    const bool held = split == ShapesSplit::kHeldOut && place == held_place;
    SceneObject object = draw_object(options, held, rng);
    object.cell = static_cast<int>(cells[place]);
    scene.push_back(object);
  }
  return scene;
}

std::string object_name(const ShapesOptions& options, const SceneObject& object) {
  return options.color_name(object.color) + " " + options.shape_name(object.shape);
}

std::string object_phrase(const ShapesOptions& options, const SceneObject& object, bool with_cell) {
  std::string phrase = options.sizes[object.size].name + " " + object_name(options, object);
  if (with_cell) phrase += " at " + options.cell_name(object.cell);
  return phrase;
}

std::string scene_caption(const ShapesOptions& options, const Scene& scene) {
  std::string caption;
  for (const auto& object : scene)
    caption += (caption.empty() ? "a " : " and a ") + object_phrase(options, object);
  return caption;
}

Json scene_json(const ShapesOptions& options, const Scene& scene) {
  Json list = Json::array();
  for (const auto& object : scene)
    list.push_back({{"shape", options.shape_name(object.shape)},
                    {"color", options.color_name(object.color)},
                    {"size", options.sizes[object.size].name},
                    {"cell", options.cell_name(object.cell)}});
  return list;
}

Scene parse_scene(const ShapesOptions& options, const Json& json, const std::string& source) {
  MMADA_CHECK(json.is_array(), source, ": field `scene`: found ", found_text(json),
              ", expected a list of objects");
  std::vector<int64_t> cells(static_cast<size_t>(options.cells()));
  std::iota(cells.begin(), cells.end(), 0);
  Scene scene;
  for (const auto& item : json) {
    Fields fields(item, source, "scene");
    SceneObject object;
    object.shape = index_of(options.shapes, outline_name, fields.string("shape"), source, "scene.shape");
    object.color = index_of(
        options.colors, [](const auto& c) { return c.name; }, fields.string("color"), source, "scene.color");
    object.size = index_of(
        options.sizes, [](const auto& s) { return s.name; }, fields.string("size"), source, "scene.size");
    object.cell = index_of(
        cells, [&](int64_t c) { return options.cell_name(c); }, fields.string("cell"), source, "scene.cell");
    fields.finish();
    scene.push_back(object);
  }
  return scene;
}

std::string Question::reply() const { return with_reasoning(reasoning, answer); }
std::string ArithmeticProblem::reply() const { return cat("<think>", reasoning, "</think>", answer); }

std::optional<Question> ask(const ShapesOptions& options, const Scene& scene, QuestionKind kind, Rng& rng) {
  switch (kind) {
    case QuestionKind::kDescribe:
      return ask_describe(options, scene);
    case QuestionKind::kWhatAt:
      return ask_what_at(options, scene, rng);
    case QuestionKind::kColor:
      return ask_color(options, scene, rng);
    case QuestionKind::kWhere:
      return ask_where(options, scene, rng);
    case QuestionKind::kCount:
      return ask_count(options, scene, rng);
    case QuestionKind::kCompare:
      return ask_compare(options, scene, rng);
  }
  throw Error("question kind out of range");
}

std::string draw_matches(const ShapesOptions& options, int64_t groups, Rng& rng) {
  std::string text;
  for (int64_t group = 0; group < groups; ++group) {
    const SceneObject object = draw_object(options, false, rng);
    SceneObject wanted = object;
    const bool same = rng.uniform() < 0.5;
    const double kind = rng.uniform();
    if (!same) {  // another shape, another colour or both, but never what the question cannot name
      const bool keeps_color = kind >= 0.3 && kind < 0.7 && rng.uniform() < 0.5;
      const bool keeps_shape = kind >= 0.3 && kind < 0.7 && !keeps_color && rng.uniform() < 0.5;
      do {
        wanted = draw_object(options, false, rng);
        if (keeps_color) wanted.color = object.color;
        if (keeps_shape) wanted.shape = object.shape;
      } while (options.pair_held_out(wanted.shape, wanted.color) ||
               (wanted.shape == object.shape && kind < 0.3) ||
               (wanted.color == object.color && kind >= 0.7) || name_key(wanted) == name_key(object));
    }
    const std::string words = kind < 0.3   ? "the " + options.shape_name(wanted.shape)
                              : kind < 0.7 ? object_name(options, wanted)
                                           : options.color_name(wanted.color) + " shapes";
    text += cat(text.empty() ? "" : " ", words, " ", object_phrase(options, object, false),
                same ? " yes" : " no");
  }
  return text;
}

ArithmeticProblem make_problem(int64_t a, int64_t b) {
  const int64_t units = a % 10 + b % 10, carry = units / 10;
  const int64_t tens = a / 10 + b / 10 + carry;
  // Two digits each, whatever the sum: every digit keeps its place in the row up to </think>.
  const auto two_digits = [](int64_t n) { return cat(n / 10, n % 10); };
  return {.a = a,
          .b = b,
          .text = cat("what is ", a, "+", b, "?"),
          .reasoning = cat(a % 10, "+", b % 10, "=", two_digits(units), ";", a / 10, "+", b / 10, "+", carry,
                           "=", two_digits(tens)),
          .answer = std::to_string(a + b)};
}

ArithmeticProblem draw_problem(const ShapesOptions& options, ShapesSplit split, Rng& rng) {
  MMADA_CHECK(split == ShapesSplit::kTrain || options.sum_modulus > 0,
              "arithmetic: split heldout needs `sum_modulus` above 0");
  const auto choices = static_cast<uint64_t>(options.operand_max - options.operand_min + 1);
  while (true) {
    const int64_t a = options.operand_min + static_cast<int64_t>(rng.below(choices));
    const int64_t b = options.operand_min + static_cast<int64_t>(rng.below(choices));
    if (options.sum_held_out(a, b) == (split == ShapesSplit::kHeldOut)) return make_problem(a, b);
  }
}

}  // namespace mmada
