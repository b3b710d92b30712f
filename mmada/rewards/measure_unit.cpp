// SPDX-License-Identifier: MIT
#include "mmada/rewards/measure_unit.h"

#include <map>

#include "mmada/rewards/think_text.h"

namespace mmada {
namespace {

const std::map<std::string, MeasureUnit, std::less<>>& known_units() {
  static const auto units = [] {
    std::map<std::string, MeasureUnit, std::less<>> map = {
        {"mm", {"length", 1}},       {"cm", {"length", 10}},      {"dm", {"length", 100}},
        {"m", {"length", 1000}},     {"km", {"length", 1000000}}, {"mg", {"mass", 1}},
        {"g", {"mass", 1000}},       {"kg", {"mass", 1000000}},   {"ml", {"volume", 1000}},
        {"cl", {"volume", 10000}},   {"l", {"volume", 1000000}},  {"ms", {"time", 1}},
        {"s", {"time", 1000}},       {"sec", {"time", 1000}},     {"min", {"time", 60000}},
        {"h", {"time", 3600000}},    {"hr", {"time", 3600000}},   {"second", {"time", 1000}},
        {"minute", {"time", 60000}}, {"hour", {"time", 3600000}}, {"day", {"time", 86400000}}};
    for (const auto& [prefix, letter] : {std::pair("milli", "m"), {"centi", "c"}, {"kilo", "k"}, {"", ""}})
      for (const auto& [name, sign] :
           {std::pair("meter", "m"), {"metre", "m"}, {"gram", "g"}, {"liter", "l"}, {"litre", "l"}})
        if (const auto found = map.find(std::string(letter) + sign); found != map.end())
          map.emplace(std::string(prefix) + name, found->second);
    return map;
  }();
  return units;
}

/// Without \text{} and the like.
std::string bare(std::string_view written) {
  std::string text(written);
  for (const std::string_view mark : {"\\text", "\\mathrm", "\\mbox", "{", "}", "~"})
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at))
      text.erase(at, mark.size());
  while (!text.empty() && text.back() == '.') text.pop_back();
  return lower_case(trimmed(text));
}

}  // namespace

std::optional<MeasureUnit> measure_unit(std::string_view written) {
  std::string name = bare(written);
  int power = 1;
  for (const auto& [mark, value] : {std::pair<std::string_view, int>("^2", 2), {"^3", 3}})
    if (name.ends_with(mark)) name.resize(name.size() - mark.size()), power = value;
  name = std::string(trimmed(name));
  auto found = known_units().find(name);
  if (found == known_units().end() && name.size() > 3 && name.ends_with('s'))
    found = known_units().find(name.substr(0, name.size() - 1));
  if (found == known_units().end()) return {};
  MeasureUnit unit = found->second;
  if (power == 1) return unit;
  if (unit.kind != "length") return {};
  const int64_t once = unit.times;
  for (int i = 1; i < power; ++i) unit.times *= once;
  unit.kind = power == 2 ? "area" : "volume";
  return unit;
}

}  // namespace mmada
