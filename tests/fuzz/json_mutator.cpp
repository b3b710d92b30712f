// SPDX-License-Identifier: MIT
// For every target whose input is JSON: replaces, copies, drops or repeats parts of a document, so that most
// inputs stay valid JSON and reach the code that reads their fields. The words of the format at hand come
// from the seeds.
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using nlohmann::ordered_json;

void collect(ordered_json& node, std::vector<ordered_json*>& nodes) {
  nodes.push_back(&node);
  if (!node.is_structured()) return;
  for (auto& child : node) collect(child, nodes);
}

ordered_json hostile_value(size_t choice) {
  static const std::vector<ordered_json> kValues = {nullptr,
                                                    true,
                                                    false,
                                                    0,
                                                    -1,
                                                    1,
                                                    2,
                                                    255,
                                                    256,
                                                    65536,
                                                    2147483647,
                                                    2147483648u,
                                                    INT64_MIN,
                                                    INT64_MAX,
                                                    UINT64_MAX,
                                                    0.5,
                                                    -1e308,
                                                    1e-320,
                                                    "",
                                                    "a",
                                                    "\xC3\xA9",
                                                    "\xF0\x9F\x98\x80",
                                                    std::string(1, '\0'),
                                                    "../x",
                                                    "\\",
                                                    "(",
                                                    "[a",
                                                    "(a*)*b",
                                                    std::string(200, 'x'),
                                                    ordered_json::array(),
                                                    ordered_json::object()};
  return kValues[choice % kValues.size()];
}

void change(ordered_json& root, std::minstd_rand& random) {
  std::vector<ordered_json*> nodes;
  collect(root, nodes);
  ordered_json& node = *nodes[random() % nodes.size()];
  switch (random() % 7) {
    case 0:
    case 1:
      node = hostile_value(random());
      return;
    case 2:
      node = ordered_json(*nodes[random() % nodes.size()]);
      return;
    case 3:
      if (node.is_structured() && !node.empty()) node.erase(std::next(node.begin(), random() % node.size()));
      return;
    case 4:
      if (node.is_array())
        node.push_back(node.empty() ? hostile_value(random()) : ordered_json(node.front()));
      return;
    case 5:
      if (node.is_object()) node["k" + std::to_string(random() % 4)] = hostile_value(random());
      return;
    default:
      break;
  }
  if (node.is_number_integer())
    node = static_cast<int64_t>(node.get<uint64_t>() + (random() % 2 ? 1 : UINT64_MAX));  // wraps
  else if (node.is_string() && !node.get_ref<std::string&>().empty())
    node.get_ref<std::string&>()[random() % node.get_ref<std::string&>().size()] =
        static_cast<char>(random() % 128);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  random.discard(3);
  const auto* text = reinterpret_cast<const char*>(bytes);
  auto json = random() % 4 == 0 ? ordered_json() : ordered_json::parse(text, text + size, nullptr, false);
  if (!json.is_structured()) return LLVMFuzzerMutate(bytes, size, max_size);
  for (size_t i = 1 + random() % 3; i > 0; --i) change(json, random);
  std::string result = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  if (random() % 16 == 0)  // a key twice: the second half of an object behind the first
    if (const auto comma = result.find(','); comma != std::string::npos && result.front() == '{')
      result = result.substr(0, comma) + "," + result.substr(1);
  if (result.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, result.data(), result.size());
  return result.size();
}
