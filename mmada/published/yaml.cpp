// SPDX-License-Identifier: MIT
#include "mmada/published/yaml.h"

#include <yaml-cpp/yaml.h>

#include <array>
#include <charconv>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada::published {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kMaxValues = 1 << 16;

std::string place(const std::string& source, const YAML::Mark& mark) {
  if (mark.is_null()) return source;
  return cat(source, ":", mark.line + 1, ":", mark.column + 1);
}

template <class Number>
bool reads_as(std::string_view text, Number* number) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

/// A scalar without quotes, by YAML's core schema.
Json plain_scalar(const std::string& text) {
  for (const char* null : {"", "~", "null", "Null", "NULL"})
    if (text == null) return nullptr;
  for (const char* yes : {"true", "True", "TRUE"})
    if (text == yes) return true;
  for (const char* no : {"false", "False", "FALSE"})
    if (text == no) return false;
  int64_t integer = 0;
  if (reads_as(text, &integer)) return integer;
  double number = 0;
  const bool begins_as_number =
      text.find_first_of("0123456789") <= 2;  // from_chars would read "inf" and "nan"
  if (begins_as_number && reads_as(text, &number) && std::isfinite(number)) return number;
  return text;
}

class Converter {
 public:
  explicit Converter(const std::string& source) : source_(source) {}

  Json convert(const YAML::Node& node, int depth) {
    MMADA_CHECK(depth <= kMaxDepth, place(source_, node.Mark()), ": found more than ", kMaxDepth,
                " levels, expected fewer (an anchor inside itself?)");
    MMADA_CHECK(++values_ <= kMaxValues, place(source_, node.Mark()), ": found more than ", kMaxValues,
                " values, expected fewer");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return nullptr;
      case YAML::NodeType::Scalar:
        return scalar(node);
      case YAML::NodeType::Sequence:
        return list(node, depth);
      case YAML::NodeType::Map:
        return object(node, depth);
    }
    return nullptr;
  }

 private:
  Json scalar(const YAML::Node& node) const {
    const std::string& text = node.Scalar();
    MMADA_CHECK(is_utf8(text), place(source_, node.Mark()), ": found ", quote(text), ", expected UTF-8");
    const std::string& tag = node.Tag();  // "?" where plain, "!" where quoted
    if (tag == "?" || tag.empty()) return plain_scalar(text);
    MMADA_CHECK(tag == "!" || tag == "tag:yaml.org,2002:str", place(source_, node.Mark()), ": found the tag ",
                quote(tag), ", expected none");
    return text;
  }
  Json list(const YAML::Node& node, int depth) {
    Json result = Json::array();
    for (const auto& item : node) result.push_back(convert(item, depth + 1));
    return result;
  }
  Json object(const YAML::Node& node, int depth) {
    Json result = Json::object();
    for (const auto& entry : node) {
      const YAML::Node& key = entry.first;
      MMADA_CHECK(key.IsScalar() && is_utf8(key.Scalar()), place(source_, key.Mark()),
                  ": found a key that is no text, expected a name");
      MMADA_CHECK(!result.contains(key.Scalar()), place(source_, key.Mark()), ": found the key ",
                  quote(key.Scalar()), " a second time, expected it once");
      result[key.Scalar()] = convert(entry.second, depth + 1);
    }
    return result;
  }

  const std::string& source_;
  int64_t values_ = 0;
};

}  // namespace

Json parse_yaml(std::string_view text, const std::string& source) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    MMADA_CHECK(documents.size() == 1, source, ": found ", documents.size(), " YAML documents, expected one");
    return Converter(source).convert(documents.front(), 0);
  } catch (const YAML::Exception& error) {
    throw Error(cat(place(source, error.mark), ": found ", printable(error.msg), ", expected YAML"));
  }
}

}  // namespace mmada::published
