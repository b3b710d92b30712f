// SPDX-License-Identifier: MIT
#include "mmada/data/shapes_options.h"

#include <algorithm>
#include <numeric>

#include "mmada/core/rng.h"

namespace mmada {
namespace {

constexpr const char* kOutlineNames[] = {"circle", "square", "triangle", "star"};
constexpr const char* kQuestionNames[] = {"describe", "what_at", "color", "where", "count", "compare"};

std::array<uint8_t, 3> parse_rgb(Fields& fields, const std::string& key,
                                 const std::array<uint8_t, 3>& fallback) {
  const auto values = fields.integers(key, 0, 255, std::vector<int64_t>(fallback.begin(), fallback.end()));
  if (values.size() != 3) fields.fail(key, cat(values.size(), " numbers"), "red, green and blue");
  return {static_cast<uint8_t>(values[0]), static_cast<uint8_t>(values[1]), static_cast<uint8_t>(values[2])};
}

std::vector<std::string> keys_of(Fields& fields, const std::string& key) {
  const Json& object = fields.raw(key);
  if (!object.is_object() || object.empty())
    fields.fail(key, found_text(object), "an object with at least one entry");
  std::vector<std::string> keys;
  for (const auto& [name, value] : object.items()) keys.push_back(name);
  return keys;
}

std::vector<NamedColor> parse_colors(Fields& fields) {
  std::vector<NamedColor> colors;
  const auto names = keys_of(fields, "colors");
  Fields entries = fields.object("colors");
  for (const auto& name : names) colors.push_back({name, parse_rgb(entries, name, {})});
  return colors;
}

std::vector<NamedSize> parse_sizes(Fields& fields) {
  std::vector<NamedSize> sizes;
  const auto names = keys_of(fields, "sizes");
  Fields entries = fields.object("sizes");
  for (const auto& name : names) sizes.push_back({name, entries.number(name, 2.0, 1024.0)});
  const bool ascending = std::is_sorted(sizes.begin(), sizes.end(),
                                        [](const auto& a, const auto& b) { return a.radius < b.radius; });
  if (!ascending) fields.fail("sizes", "sizes out of order", "radii from small to large");
  return sizes;
}

std::vector<double> parse_weights(Fields& fields, const std::string& key, const std::vector<double>& fallback,
                                  int64_t most) {
  auto weights = fields.numbers(key, 0.0, 1e6, fallback);
  const bool fits = !weights.empty() && static_cast<int64_t>(weights.size()) <= most;
  if (!fits)
    fields.fail(key, cat(weights.size(), " weights"), cat("1 to ", most, " weights (one shape a cell)"));
  if (std::accumulate(weights.begin(), weights.end(), 0.0) <= 0.0)
    fields.fail(key, "only zeros", "at least one weight above 0");
  return weights;
}

std::vector<CountStage> parse_stages(Fields& fields, int64_t cells) {
  std::vector<CountStage> stages;
  const Json& list = fields.raw("stages");
  if (list.is_null()) return stages;
  if (!list.is_array()) fields.fail("stages", found_text(list), "a list of {\"until\", \"count_weights\"}");
  for (const auto& item : list) {
    Fields stage(item, "stages");
    CountStage parsed;
    parsed.until = stage.integer("until", 1, INT64_MAX);
    parsed.weights = parse_weights(stage, "count_weights", {}, cells);
    stage.finish();
    if (!stages.empty() && parsed.until <= stages.back().until)
      fields.fail("stages", cat("until ", parsed.until, " after ", stages.back().until),
                  "rising sample indices");
    stages.push_back(std::move(parsed));
  }
  return stages;
}

void parse_question_weights(Fields& fields, std::array<double, kQuestionKinds>& weights) {
  if (!fields.has("question_weights")) return;
  Fields entries = fields.object("question_weights");
  for (int kind = 0; kind < kQuestionKinds; ++kind)
    weights[kind] = entries.number(kQuestionNames[kind], 0.0, 1e6, 0.0);
  entries.finish();
  if (std::accumulate(weights.begin(), weights.end(), 0.0) <= 0.0)
    fields.fail("question_weights", "only zeros", "at least one weight above 0");
}

/// The held-out rule must leave something on both sides, else drawing a scene would never end.
void check_held_out(const Fields& fields, const ShapesOptions& options) {
  int64_t held = 0;
  const auto pairs = static_cast<int64_t>(options.shapes.size() * options.colors.size());
  for (size_t shape = 0; shape < options.shapes.size(); ++shape)
    for (size_t color = 0; color < options.colors.size(); ++color)
      held += options.pair_held_out(static_cast<int>(shape), static_cast<int>(color));
  if (options.pair_modulus > 0 && (held == 0 || held == pairs))
    fields.fail("pair_modulus",
                cat(options.pair_modulus, ", which holds out ", held, " of ", pairs, " pairs"),
                "0, or a number that holds out some of them");
}

void check_geometry(const Fields& fields, const ShapesOptions& options) {
  const double cell =
      static_cast<double>(options.canvas) / static_cast<double>(std::max(options.rows, options.columns));
  const double reach = options.sizes.back().radius * kStarReach;
  if (2 * reach > cell)
    fields.fail("sizes", cat("radius ", options.sizes.back().radius),
                cat("at most ", cell / 2 / kStarReach, " in cells of ", cell, " pixels"));
}

}  // namespace

Outline outline_from_name(const std::string& name, const std::string& source) {
  for (int i = 0; i < 4; ++i)
    if (name == kOutlineNames[i]) return static_cast<Outline>(i);
  throw Error(cat(source, ": found shape \"", name, "\", expected circle, square, triangle or star"));
}

const char* outline_name(Outline outline) { return kOutlineNames[static_cast<int>(outline)]; }
const char* question_kind_name(QuestionKind kind) { return kQuestionNames[static_cast<int>(kind)]; }

std::string ShapesOptions::shape_name(int shape) const {
  return is_blob(shape) ? "blob" : outline_name(shapes[shape]);
}

std::string ShapesOptions::color_name(int color) const {
  return is_mixed(color) ? "mixed" : colors[color].name;
}

const std::vector<double>& ShapesOptions::count_weights_at(uint64_t index) const {
  for (const auto& stage : stages)
    if (index < static_cast<uint64_t>(stage.until)) return stage.weights;
  return count_weights;
}

bool ShapesOptions::sum_held_out(int64_t a, int64_t b) const {
  if (sum_modulus == 0) return false;
  return Rng(0, "shapes/held-out sums", static_cast<uint64_t>(a * 100 + b))
             .below(static_cast<uint64_t>(sum_modulus)) == 0;
}

std::string ShapesOptions::cell_name(int64_t cell) const {
  static constexpr const char* kVertical[] = {"top", "middle", "bottom"};
  static constexpr const char* kHorizontal[] = {"left", "center", "right"};
  const auto pick = [](const char* const names[], int64_t index, int64_t count) -> std::string {
    if (count == 1) return "";
    return names[count == 2 ? index * 2 : index];
  };
  const std::string vertical = pick(kVertical, cell / columns, rows);
  const std::string horizontal = pick(kHorizontal, cell % columns, columns);
  if (vertical.empty() && horizontal.empty()) return "center";
  if (vertical == "middle" && horizontal == "center") return "center";
  return vertical + (vertical.empty() || horizontal.empty() ? "" : " ") + horizontal;
}

ShapesOptions parse_shapes_options(Fields& fields) {
  ShapesOptions options;
  options.canvas = fields.integer("canvas", 8, 1024, options.canvas);
  options.rows = fields.integer("rows", 1, 3, options.rows);
  options.columns = fields.integer("columns", 1, 3, options.columns);
  if (fields.has("shapes")) {
    options.shapes.clear();
    for (const auto& name : fields.strings("shapes"))
      options.shapes.push_back(outline_from_name(name, "shapes"));
    if (options.shapes.empty()) fields.fail("shapes", "an empty list", "at least one shape");
  }
  if (fields.has("colors")) options.colors = parse_colors(fields);
  if (fields.has("sizes")) options.sizes = parse_sizes(fields);
  options.background = parse_rgb(fields, "background", options.background);
  options.supersampling = fields.integer("supersampling", 1, 8, options.supersampling);
  options.wobble = fields.number("wobble", 0.0, 0.25, options.wobble);
  options.mixed = fields.number("mixed", 0.0, 1.0, options.mixed);
  if (options.mixed > 0 && options.colors.size() < 2)
    fields.fail("mixed", cat(options.mixed), "0 with a single colour");
  options.blobs = fields.number("blobs", 0.0, 1.0, options.blobs);
  options.count_weights = parse_weights(fields, "count_weights", options.count_weights, options.cells());
  options.stages = parse_stages(fields, options.cells());
  parse_question_weights(fields, options.question_weights);
  options.pair_modulus = fields.integer("pair_modulus", 0, 1000, options.pair_modulus);
  options.sum_modulus = fields.integer("sum_modulus", 0, 1000, options.sum_modulus);
  if (options.sum_modulus == 1)
    fields.fail("sum_modulus", "1, which holds out every sum", "0, or 2 and more");
  options.operand_min = fields.integer("operand_min", 0, 99, options.operand_min);
  options.operand_max = fields.integer("operand_max", options.operand_min, 99, options.operand_max);
  check_held_out(fields, options);
  check_geometry(fields, options);
  return options;
}

ShapesOptions read_shapes_options(const std::string& path) {
  if (path.empty()) return {};
  const Json json = read_json_file(path, {.comments = true});
  Fields fields(json, path);
  auto options = parse_shapes_options(fields);
  fields.finish();
  return options;
}

Json shapes_options_json(const ShapesOptions& options) {
  Json json = {{"canvas", options.canvas}, {"rows", options.rows}, {"columns", options.columns}};
  for (const Outline shape : options.shapes) json["shapes"].push_back(outline_name(shape));
  for (const auto& color : options.colors) json["colors"][color.name] = color.rgb;
  for (const auto& size : options.sizes) json["sizes"][size.name] = size.radius;
  json["background"] = options.background;
  json["supersampling"] = options.supersampling;
  json["wobble"] = options.wobble;
  json["mixed"] = options.mixed;
  json["blobs"] = options.blobs;
  json["count_weights"] = options.count_weights;
  for (const auto& stage : options.stages)
    json["stages"].push_back({{"until", stage.until}, {"count_weights", stage.weights}});
  for (int kind = 0; kind < kQuestionKinds; ++kind)
    json["question_weights"][kQuestionNames[kind]] = options.question_weights[kind];
  json["pair_modulus"] = options.pair_modulus;
  json["sum_modulus"] = options.sum_modulus;
  json["operand_min"] = options.operand_min;
  json["operand_max"] = options.operand_max;
  return json;
}

}  // namespace mmada
