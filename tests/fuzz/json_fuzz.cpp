// SPDX-License-Identifier: MIT
// The strict JSON parser and the field reader that every configuration passes through.
#include "mmada/core/config.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

namespace {

constexpr int kMaxDepth = 12;

int depth_of(const Json& json) {
  int depth = 0;
  if (json.is_structured())
    for (const auto& child : json) depth = std::max(depth, depth_of(child));
  return json.is_structured() ? depth + 1 : 0;
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
    for (const int64_t value : fields.integers("sizes", 0, 64))
      promise(value >= 0 && value <= 64, "lists too");
  });
  attempt([&] { fields.numbers("weights", 0, 1, std::vector<double>{}); });
  attempt([&] { fields.strings("names"); });
  attempt([&] {
    Fields inner = fields.object("inner");
    inner.integer("n", INT64_MIN, INT64_MAX, 0);
    inner.finish();
  });
  fields.raw("anything");
  fields.ignore("torch_dtype");
  attempt([&] { fields.finish(); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  const bool comments = size % 2 == 1;
  attempt([&] {
    const Json json = parse_json(
        text, "f", {.max_bytes = 4096, .max_depth = kMaxDepth, .max_values = 500, .comments = comments});
    promise(text.size() <= 4096 && text.find('\0') == std::string_view::npos, "limits and NULs are seen");
    promise(depth_of(json) <= kMaxDepth, "the depth is bounded");
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
