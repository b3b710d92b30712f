// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/check.h"

namespace mmada {

/// Object keys keep the order of the file. Looking a key up takes time linear in the object's size, so read
/// large objects (a vocabulary) by iterating. dump() throws on strings that are not UTF-8: parsed ones always
/// are; hand its error_handler_t::replace to it for text from elsewhere.
using Json = nlohmann::ordered_json;

/// The defaults are ample for a configuration and keep what a hostile one costs near the size of its file: a
/// value takes up to fifty times the memory of its text. Readers of larger kinds of files ask for more.
struct JsonLimits {
  size_t max_bytes = 4u << 20;   ///< of the text
  int max_depth = 64;            ///< nesting of arrays and objects
  size_t max_values = 1u << 18;  ///< of any kind
  bool comments = false;         ///< JSONC: // and /* */ comments, as in our config files
};
/// For files of texts and ids that a request names itself.
constexpr JsonLimits kLargeJson = {.max_bytes = 256u << 20, .max_values = 16u << 20};

/// Parses strictly: duplicate keys, invalid UTF-8, NUL bytes, numbers that do not fit, too deep nesting and
/// trailing text are errors that name `source` (a path or a description) and the place.
Json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits = {});

/// Reads and parses a file.
Json read_json_file(const std::string& path, const JsonLimits& limits = {});

/// A value as a message names it: what it is where it is a list or an object, else itself, cut where long.
std::string found_text(const Json& value);
/// The value where it is a whole number of 64 bits with sign.
std::optional<int64_t> whole_number(const Json& value);

/// The known name nearest to `name` by edit distance, for messages; empty when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

/// Reads one JSON object field by field and refuses what nobody asked for.
///
///     Fields fields(json, "config.json");
///     config.n_layers = fields.integer("n_layers", 1, 1024);
///     config.eps = fields.number("rms_norm_eps", 0.0, 1.0, 1e-5);   // optional: has a default
///     fields.finish();                                              // unknown keys are errors
///
/// Every message has the form "SOURCE: field `a.b`: found X, expected Y".
class Fields {
 public:
  Fields(const Json& object, std::string source, std::string path = "");

  bool has(const std::string& key) const;  ///< present and not null
  int64_t integer(const std::string& key, int64_t min, int64_t max, std::optional<int64_t> fallback = {});
  double number(const std::string& key, double min, double max, std::optional<double> fallback = {});
  bool boolean(const std::string& key, std::optional<bool> fallback = {});
  std::string string(const std::string& key, std::optional<std::string> fallback = {});
  /// One of a closed list of names.
  std::string choice(const std::string& key, const std::vector<std::string>& names,
                     std::optional<std::string> fallback = {});
  std::vector<int64_t> integers(const std::string& key, int64_t min, int64_t max,
                                std::optional<std::vector<int64_t>> fallback = {});
  std::vector<double> numbers(const std::string& key, double min, double max,
                              std::optional<std::vector<double>> fallback = {});
  std::vector<std::string> strings(const std::string& key,
                                   std::optional<std::vector<std::string>> fallback = {});
  /// A nested object; an absent one reads as empty, so that its defaults apply.
  Fields object(const std::string& key);
  /// The raw value, or null; marks the key as known.
  const Json& raw(const std::string& key);
  /// Marks a key as known and unread (published keys that mean nothing here).
  void ignore(const std::string& key);
  /// Throws when the object holds a key that no call above named; suggests the nearest known one.
  void finish() const;

  [[noreturn]] void fail(const std::string& key, const std::string& found, const std::string& expected) const;

 private:
  const Json* find(const std::string& key);
  const Json* require(const std::string& key, bool has_fallback);

  const Json* object_;
  std::string source_;
  std::string path_;
  std::set<std::string> known_;
};

}  // namespace mmada
