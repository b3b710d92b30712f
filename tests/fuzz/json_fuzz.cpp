// SPDX-License-Identifier: MIT
// The strict JSON parser and the field reader that every configuration passes through.
#include <set>

#include "mmada/core/config.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

namespace {

constexpr int kMaxDepth = 12;
constexpr size_t kMaxValues = 500;

int depth_of(const Json& json) {
  int depth = 0;
  if (json.is_structured())
    for (const auto& child : json) depth = std::max(depth, depth_of(child));
  return json.is_structured() ? depth + 1 : 0;
}

/// Counts the values; no object may hold a key twice.
size_t count_values(const Json& json) {
  size_t count = 1;
  std::set<std::string> keys;
  if (json.is_object())
    for (const auto& [key, value] : json.items()) promise(keys.insert(key).second, "keys are unique");
  if (json.is_structured())
    for (const auto& child : json) count += count_values(child);
  return count;
}

/// Each reader may refuse; none may crash or return what lies outside its bounds.
template <class Read>
void attempt(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    promise(std::string_view(error.what()).size() < 2000, "messages stay short");
  }
}

void read_fields(const Json& json) {
  static const std::set<std::string> kAsked = {"n",       "x",     "flag",  "name",     "kind",       "sizes",
                                               "weights", "names", "inner", "anything", "torch_dtype"};
  Fields fields(json, "f");
  attempt([&] {
    const int64_t value = fields.integer("n", -3, 1000, 7);
    promise(value >= -3 && value <= 1000, "integers respect their bounds");
  });
  attempt([&] {
    const double value = fields.number("x", -1.5, 2.5);
    promise(value >= -1.5 && value <= 2.5, "numbers respect their bounds");
  });
  attempt([&] { fields.boolean("flag", false); });
  attempt([&] { promise(is_utf8(fields.string("name", "d")), "strings are UTF-8"); });
  attempt([&] {
    const std::string value = fields.choice("kind", {"cosine", "linear"});
    promise(value == "cosine" || value == "linear", "choices come from the list");
  });
  attempt([&] {
    const auto values = fields.integers("sizes", 0, 64);
    for (const int64_t value : values) promise(value >= 0 && value <= 64, "lists too");
    promise(json["sizes"].is_array() && json["sizes"].size() == values.size(), "a list is one");
  });
  attempt([&] {
    const auto values = fields.numbers("weights", 0, 1, std::vector<double>{});
    for (const double value : values) promise(value >= 0 && value <= 1, "lists of numbers too");
    promise(values.empty() || json["weights"].is_array(), "a list of numbers is one");
  });
  attempt([&] {
    const auto values = fields.strings("names");
    promise(json["names"].is_array() && json["names"].size() == values.size(), "a list of strings is one");
  });
  attempt([&] {
    Fields inner = fields.object("inner");
    inner.integer("n", INT64_MIN, INT64_MAX, 0);
    inner.finish();
  });
  fields.raw("anything");
  fields.ignore("torch_dtype");
  attempt([&] {
    fields.finish();
    for (const auto& [key, value] : json.items())
      promise(kAsked.contains(key), "what nobody asked for is refused");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  const bool comments = size % 2 == 1;
  attempt([&] {
    const Json json = parse_json(
        text, "f",
        {.max_bytes = 4096, .max_depth = kMaxDepth, .max_values = kMaxValues, .comments = comments});
    promise(text.size() <= 4096 && text.find('\0') == std::string_view::npos, "limits and NULs are seen");
    promise(depth_of(json) <= kMaxDepth, "the depth is bounded");
    promise(count_values(json) <= kMaxValues, "the values are bounded");
    promise(parse_json(json.dump(), "again") == json, "what was parsed parses again to the same");
    attempt([&] { resolve_references(json, "f"); });
    attempt([&] {
      Json changed = json;
      apply_override(changed, std::string(text.substr(0, 200)));
    });
    read_fields(json);
  });
  return 0;
}
