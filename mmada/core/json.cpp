// SPDX-License-Identifier: MIT
#include "mmada/core/json.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <memory>
#include <system_error>

#include "mmada/core/quote.h"

namespace mmada {
namespace {

/// Builds the value through SAX so that depth, duplicate keys and unrepresentable numbers are seen before
/// they count.
class StrictBuilder final : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& source, const JsonLimits& limits) : source_(source), limits_(limits) {}

  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (!std::isfinite(value)) throw Error(cat(source_, ": number ", text, " is out of range"));
    if (text.find_first_of(".eE") == std::string::npos)
      throw Error(cat(source_, ": integer ", text, " does not fit in 64 bits, expected one that does"));
    return put(value);
  }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool end_object() override {
    check_keys(stack_.back()->get_ref<const Members&>());
    return close();
  }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string_view what =
        error.what();  // the library's text begins with its own "[json.exception...] " tag
    if (const auto tag = what.find("] "); tag != std::string_view::npos) what.remove_prefix(tag + 2);
    throw Error(cat(source_, ": not valid JSON at byte ", position, ": ", printable(what, 200)));
  }

 private:
  using Members = Json::object_t;

  /// All keys at once when the object ends: asking the insertion-ordered map at each key would take quadratic
  /// time, minutes for a vocabulary of 100,000 entries.
  void check_keys(const Members& members) const {
    std::vector<const std::string*> keys;
    keys.reserve(members.size());
    for (const auto& member : members) keys.push_back(&member.first);
    std::sort(keys.begin(), keys.end(), [](const auto* a, const auto* b) { return *a < *b; });
    const auto twice =
        std::adjacent_find(keys.begin(), keys.end(), [](const auto* a, const auto* b) { return *a == *b; });
    if (twice != keys.end())
      throw Error(cat(source_, ": key ", quote(**twice), " appears twice in one object, expected once"));
  }
  template <class T>
  Json* place(T&& value) {
    if (++values_ > limits_.max_values)
      throw Error(cat(source_, ": found more than ", limits_.max_values, " JSON values"));
    if (stack_.empty()) {
      root_ = std::forward<T>(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::forward<T>(value));
      return &parent.back();
    }
    // appended without the search that operator[] makes; end_object looks for duplicates
    auto& members = static_cast<Members::Container&>(parent.get_ref<Members&>());
    return &members.emplace_back(std::move(key_), std::forward<T>(value)).second;
  }
  template <class T>
  bool put(T&& value) {
    place(std::forward<T>(value));
    return true;
  }
  bool open(Json container) {
    if (static_cast<int>(stack_.size()) >= limits_.max_depth)
      throw Error(
          cat(source_, ": nested deeper than the ", limits_.max_depth, " levels that are expected at most"));
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::string& source_;
  const JsonLimits& limits_;
  uint64_t values_ = 0;
  Json root_;
  std::vector<Json*> stack_;  // a parent never grows while a child is open, so the pointers stay valid
  std::string key_;
};

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits) {
  MMADA_CHECK(text.size() <= limits.max_bytes, source, ": ", text.size(), " bytes of JSON, expected at most ",
              limits.max_bytes);
  // the library's lexer takes a NUL for the end of its input: text behind it would go unseen
  const auto nul = text.find('\0');
  MMADA_CHECK(nul == std::string_view::npos, source, ": not valid JSON at byte ", nul, ": found a NUL");
  StrictBuilder builder(source, limits);
  Json::sax_parse(text.begin(), text.end(), &builder, nlohmann::detail::input_format_t::json, true,
                  limits.comments);
  return builder.take();
}

Json read_json_file(const std::string& path, const JsonLimits& limits) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  MMADA_CHECK(file != nullptr, path,
              ": cannot be opened for reading: ", std::generic_category().message(errno));
  std::string text;
  char buffer[1 << 16];
  while (const size_t got = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, got);
    MMADA_CHECK(text.size() <= limits.max_bytes, path, ": larger than ", limits.max_bytes, " bytes");
  }
  MMADA_CHECK(std::ferror(file.get()) == 0, path, ": reading failed");
  return parse_json(text, path, limits);
}

std::string found_text(const Json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return value.is_string() ? quote(value.get_ref<const std::string&>(), 80) : value.dump();
}

std::optional<int64_t> whole_number(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return std::nullopt;
  return value.get<int64_t>();
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  if (name.size() > 100)
    return best;  // no misspelt option, and the distance takes time for each pair of letters
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const auto& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

Fields::Fields(const Json& object, std::string source, std::string path)
    : object_(&object), source_(std::move(source)), path_(std::move(path)) {
  MMADA_CHECK(object.is_object(), source_, path_.empty() ? "" : ": field `" + path_ + "`", ": found ",
              found_text(object), ", expected an object");
}

void Fields::fail(const std::string& key, const std::string& found, const std::string& expected) const {
  throw Error(cat(source_, ": field `", path_.empty() ? "" : path_ + ".", key, "`: found ", found,
                  ", expected ", expected));
}

const Json* Fields::find(const std::string& key) {
  known_.insert(key);
  const auto it = object_->find(key);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

const Json* Fields::require(const std::string& key, bool has_fallback) {
  const Json* value = find(key);
  if (value == nullptr && !has_fallback) fail(key, "nothing", "a value");
  return value;
}

bool Fields::has(const std::string& key) const {
  const auto it = object_->find(key);
  return it != object_->end() && !it->is_null();
}

int64_t Fields::integer(const std::string& key, int64_t min, int64_t max, std::optional<int64_t> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  const std::string expected = cat("an integer from ", min, " to ", max);
  const auto number = whole_number(*value);
  if (!number || *number < min || *number > max) fail(key, found_text(*value), expected);
  return *number;
}

double Fields::number(const std::string& key, double min, double max, std::optional<double> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  const std::string expected = cat("a number from ", min, " to ", max);
  if (!value->is_number()) fail(key, found_text(*value), expected);
  const auto number = value->get<double>();
  if (!(number >= min && number <= max)) fail(key, found_text(*value), expected);
  return number;
}

bool Fields::boolean(const std::string& key, std::optional<bool> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  if (!value->is_boolean()) fail(key, found_text(*value), "true or false");
  return value->get<bool>();
}

std::string Fields::string(const std::string& key, std::optional<std::string> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  if (!value->is_string()) fail(key, found_text(*value), "a string");
  return value->get<std::string>();
}

std::string Fields::choice(const std::string& key, const std::vector<std::string>& names,
                           std::optional<std::string> fallback) {
  const std::string value = string(key, std::move(fallback));
  if (std::find(names.begin(), names.end(), value) != names.end()) return value;
  std::string expected = "one of";
  for (const auto& name : names) expected += " \"" + name + "\"";
  const std::string near = nearest_name(value, names);
  fail(key, quote(value, 80), expected + (near.empty() ? "" : " (did you mean \"" + near + "\"?)"));
}

std::vector<int64_t> Fields::integers(const std::string& key, int64_t min, int64_t max,
                                      std::optional<std::vector<int64_t>> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  if (!value->is_array()) fail(key, found_text(*value), "a list of integers");
  std::vector<int64_t> numbers;
  for (const auto& item : *value) {
    const auto number = whole_number(item);
    if (!number || *number < min || *number > max)
      fail(key, found_text(item), cat("integers from ", min, " to ", max));
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<double> Fields::numbers(const std::string& key, double min, double max,
                                    std::optional<std::vector<double>> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  if (!value->is_array()) fail(key, found_text(*value), "a list of numbers");
  std::vector<double> numbers;
  for (const auto& item : *value) {
    if (!item.is_number() || !(item.get<double>() >= min && item.get<double>() <= max))
      fail(key, found_text(item), cat("numbers from ", min, " to ", max));
    numbers.push_back(item.get<double>());
  }
  return numbers;
}

std::vector<std::string> Fields::strings(const std::string& key,
                                         std::optional<std::vector<std::string>> fallback) {
  const Json* value = require(key, fallback.has_value());
  if (value == nullptr) return *fallback;
  if (!value->is_array()) fail(key, found_text(*value), "a list of strings");
  std::vector<std::string> strings;
  for (const auto& item : *value) {
    if (!item.is_string()) fail(key, found_text(item), "strings");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

Fields Fields::object(const std::string& key) {
  static const Json kEmpty = Json::object();
  const Json* value = find(key);
  return {value == nullptr ? kEmpty : *value, source_, path_.empty() ? key : path_ + "." + key};
}

const Json& Fields::raw(const std::string& key) {
  static const Json kNull;
  const Json* value = find(key);
  return value == nullptr ? kNull : *value;
}

void Fields::ignore(const std::string& key) { known_.insert(key); }

void Fields::finish() const {
  for (const auto& [key, value] : object_->items()) {
    if (known_.contains(key)) continue;
    const std::string near = nearest_name(key, {known_.begin(), known_.end()});
    throw Error(cat(source_, ": unknown field `", path_.empty() ? "" : path_ + ".", printable(key, 80), "`",
                    near.empty() ? "" : ", did you mean `" + near + "`?"));
  }
}

}  // namespace mmada
