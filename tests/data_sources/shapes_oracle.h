// SPDX-License-Identifier: MIT
// A second, independent rendition of the procedural data: answers out of the scene's JSON by reading the
// question's words, and pictures in floating point by testing every sample point of the whole canvas.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "mmada/data/shapes_scene.h"

namespace mmada::oracle {

struct Answer {
  std::string answer, reasoning;
};

inline std::string get(const Json& object, const char* key) { return object.at(key).get<std::string>(); }
inline std::string name(const Json& object) { return get(object, "color") + " " + get(object, "shape"); }
inline std::string phrase(const Json& object) {
  return get(object, "size") + " " + name(object) + " at " + get(object, "cell");
}

inline std::string caption(const Json& scene) {
  std::string text;
  for (const auto& object : scene) text += (text.empty() ? "" : " and ") + ("a " + phrase(object));
  return text;
}

/// The look at the four cells: two words of the question, then what each holds and whether it is what is
/// asked for.
template <class Test>
std::string scan(const Json& scene, const std::string& words, Test test) {
  std::string text;
  for (const char* cell : {"top left", "top right", "bottom left", "bottom right"}) {
    std::string holds = "an empty cell no";
    for (const auto& o : scene)
      if (get(o, "cell") == cell) holds = get(o, "size") + " " + name(o) + (test(o) ? " yes" : " no");
    text += words + " " + holds + (std::string(cell) == "bottom right" ? "" : " ");
  }
  return text;
}

inline std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const auto begin = text.find(before) + before.size();
  return text.substr(begin, text.find(after, begin) - begin);
}

/// The only object for which test(object) holds.
template <class Test>
const Json& only(const Json& scene, Test test) {
  const Json* found = nullptr;
  for (const auto& object : scene) {
    if (!test(object)) continue;
    if (found != nullptr) throw Error("the question does not name one object");
    found = &object;
  }
  if (found == nullptr) throw Error("the question names an absent object");
  return *found;
}

inline Answer answer(const Json& scene, const std::string& question) {
  if (question == "describe the picture") return {caption(scene), ""};
  const auto found = [&](const std::string& words, auto test, const char* wanted) {
    const Json& object = only(scene, test);
    return Answer{*wanted == 0 ? name(object) : get(object, wanted), scan(scene, words, test)};
  };
  if (question.starts_with("what is at ")) {
    const std::string cell = between(question, "what is at ", "?");
    return found(
        cell, [&](const Json& o) { return get(o, "cell") == cell; }, "");
  }
  if (question.starts_with("what color is the ")) {
    const std::string shape = between(question, "what color is the ", "?");
    return found(
        "the " + shape, [&](const Json& o) { return get(o, "shape") == shape; }, "color");
  }
  if (question.starts_with("where is the ")) {
    const std::string wanted = between(question, "where is the ", "?");
    return found(
        wanted, [&](const Json& o) { return name(o) == wanted; }, "cell");
  }
  if (question.starts_with("how many ")) {
    const std::string color =
        question == "how many shapes?" ? "" : between(question, "how many ", " shapes?");
    const auto test = [&](const Json& o) { return color.empty() || get(o, "color") == color; };
    const auto count = std::count_if(scene.begin(), scene.end(), test);
    return {std::to_string(count), scan(scene, color.empty() ? "many shapes" : color + " shapes", test)};
  }
  const std::string first = between(question, "is the ", " larger than the ");
  const std::string second = between(question, " larger than the ", "?");
  const auto is_first = [&](const Json& o) { return name(o) == first; };
  const Json& a = only(scene, is_first);
  const Json& b = only(scene, [&](const Json& o) { return name(o) == second; });
  const bool larger = get(a, "size") == "large" && get(b, "size") == "small";
  return {larger ? "yes" : "no", scan(scene, first, is_first) + " " + second + " " + get(b, "size")};
}

/// Whether the point (dx, dy) from the centre belongs to the outline; the star by winding angles of its ten
/// corners.
inline bool inside(Outline outline, double dx, double dy, double r) {
  switch (outline) {
    case Outline::kCircle:
      return std::hypot(dx, dy) <= r;
    case Outline::kSquare:
      return std::fmax(std::fabs(dx), std::fabs(dy)) <= 0.86 * r;
    case Outline::kTriangle:
      return dy <= 0.85 * r && (dy + r) / 1.75 >= std::fabs(dx);
    case Outline::kStar:
      break;
  }
  double turned = 0;  // a point inside sees the corners go round once
  for (int k = 0; k < 10; ++k) {
    const auto corner = [&](int i) {
      const double angle = std::numbers::pi * (i / 5.0 - 0.5), reach = r * (i % 2 == 0 ? 1.08 : 0.45);
      return std::atan2(std::sin(angle) * reach - dy, std::cos(angle) * reach - dx);
    };
    turned += std::remainder(corner((k + 1) % 10) - corner(k), 2 * std::numbers::pi);
  }
  return std::fabs(turned) > std::numbers::pi;
}

inline std::vector<double> render(const ShapesOptions& options, const Scene& scene) {
  const int64_t side = options.canvas, points = options.supersampling;
  std::vector<double> pixels;
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      double value[3] = {1.0 * options.background[0], 1.0 * options.background[1],
                         1.0 * options.background[2]};
      for (const auto& object : scene) {
        const double cx = (object.cell % options.columns + 0.5) * static_cast<double>(side) /
                          static_cast<double>(options.columns);
        const double cy = (object.cell / options.columns + 0.5) * static_cast<double>(side) /
                          static_cast<double>(options.rows);
        double hits = 0;
        for (int64_t k = 0; k < points * points; ++k) {
          const double px =
              static_cast<double>(x) + (static_cast<double>(k % points) + 0.5) / static_cast<double>(points);
          const double py =
              static_cast<double>(y) + (static_cast<double>(k / points) + 0.5) / static_cast<double>(points);
          hits += inside(options.shapes[object.shape], px - cx, py - cy, options.sizes[object.size].radius);
        }
        const double alpha = hits / static_cast<double>(points * points);
        for (int c = 0; c < 3; ++c) value[c] += alpha * (options.colors[object.color].rgb[c] - value[c]);
      }
      pixels.insert(pixels.end(), value, value + 3);
    }
  return pixels;
}

}  // namespace mmada::oracle
