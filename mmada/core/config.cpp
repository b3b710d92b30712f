// SPDX-License-Identifier: MIT
#include "mmada/core/config.h"

#include <algorithm>
#include <optional>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

constexpr int kMaxReferenceDepth = 32;  // deeper chains are cycles or mistakes
// references to references can double a file at every step: 32 steps would never end
constexpr uint64_t kMaxResolvedValues = 1u << 20;
constexpr size_t kMaxResolvedText = 16u << 20;
constexpr size_t kMaxPathParts = 64;

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

std::optional<size_t> list_index(const std::string& part) {
  const bool digits = !part.empty() && part.size() <= 9 &&
                      std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? std::optional<size_t>(std::stoul(part)) : std::nullopt;
}

/// The existing element of a list, or nullptr.
template <class AnyJson>
AnyJson* element(AnyJson& list, const std::string& part) {
  const auto index = list_index(part);
  return index.has_value() && *index < list.size() ? &list[*index] : nullptr;
}

const Json* value_at(const Json& config, const std::string& path) {
  const Json* node = &config;
  for (const std::string& part : split_path(path)) {
    if (node->is_array()) {
      node = element(*node, part);
    } else if (node->is_object()) {
      const auto it = node->find(part);
      node = it == node->end() ? nullptr : &*it;
    } else {
      node = nullptr;
    }
    if (node == nullptr) return nullptr;
  }
  return node;
}

class Resolver {
 public:
  Resolver(const Json& root, const std::string& source) : root_(root), source_(source) {}

  Json resolve(const Json& node, int depth) const {
    MMADA_CHECK(depth <= kMaxReferenceDepth, source_, ": references nested deeper than ", kMaxReferenceDepth,
                " levels (do they refer to each other?)");
    MMADA_CHECK(++values_ <= kMaxResolvedValues, source_, ": references make more than ", kMaxResolvedValues,
                " values of the file");
    if (node.is_string()) return resolve_string(node.get<std::string>(), depth);
    if (!node.is_structured()) return node;
    Json resolved = node;
    for (auto it = resolved.begin(); it != resolved.end(); ++it) *it = resolve(*it, depth);
    return resolved;
  }

 private:
  Json resolve_string(const std::string& text, int depth) const {
    std::string result;
    size_t end = 0;
    for (size_t begin = text.find("${"); begin != std::string::npos; begin = text.find("${", end)) {
      result += text.substr(end, begin - end);
      const size_t close = text.find('}', begin);
      MMADA_CHECK(close != std::string::npos, source_, ": found ", quote(text), ", expected } to close ${");
      const std::string path = text.substr(begin + 2, close - begin - 2);
      const Json* target = value_at(root_, path);
      MMADA_CHECK(target != nullptr, source_, ": ", quote(text), " refers to `", printable(path),
                  "`, which the file does not hold");
      const Json value = resolve(*target, depth + 1);
      if (begin == 0 && close + 1 == text.size()) return value;
      MMADA_CHECK(!value.is_structured(), source_, ": ", quote(text), " inserts `", printable(path),
                  "`, found a list or object, expected a string, number or boolean");
      result += value.is_string() ? value.get<std::string>() : value.dump();
      MMADA_CHECK(result.size() <= kMaxResolvedText, source_, ": references make a string of more than ",
                  kMaxResolvedText, " bytes");
      end = close + 1;
    }
    return result + text.substr(end);
  }

  const Json& root_;
  const std::string& source_;
  mutable uint64_t values_ = 0;
};

Json parse_override_value(const std::string& text) {
  try {
    return parse_json(text, "override");
  } catch (const Error&) {
    return text;  // plain words need no quotes: output_dir=runs/a
  }
}

}  // namespace

void apply_override(Json& config, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError(
        cat("override: found \"", assignment, "\", expected FIELD=VALUE such as training.seed=7"));
  const std::vector<std::string> parts = split_path(assignment.substr(0, equals));
  if (parts.size() > kMaxPathParts)
    throw UsageError(
        cat("override: found a field ", parts.size(), " levels deep, expected at most ", kMaxPathParts));
  Json* node = &config;
  for (const std::string& part : parts) {
    if (part.empty()) throw UsageError(cat("override \"", assignment, "\": found an empty field name"));
    if (node->is_array()) {
      Json* item = element(*node, part);
      if (item == nullptr)
        throw UsageError(cat("override \"", assignment, "\": found index ", part, ", expected 0 to ",
                             static_cast<int64_t>(node->size()) - 1));
      node = item;
      continue;
    }
    if (node->is_null()) *node = Json::object();
    if (!node->is_object())
      throw UsageError(
          cat("override \"", assignment, "\": `", part, "` lies below a value that has no fields"));
    node = &(*node)[part];
  }
  *node = parse_override_value(assignment.substr(equals + 1));
}

Json resolve_references(const Json& config, const std::string& source) {
  return Resolver(config, source).resolve(config, 0);
}

Json load_config(const std::string& path, const std::vector<std::string>& overrides) {
  Json config = read_json_file(path, {.comments = true});
  for (const std::string& assignment : overrides) apply_override(config, assignment);
  return resolve_references(config, path);
}

}  // namespace mmada
