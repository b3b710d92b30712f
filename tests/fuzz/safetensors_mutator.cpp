// SPDX-License-Identifier: MIT
// Random bytes almost never form a header whose offsets fit its shapes, so checks behind that point would not
// be reached: this changes one thing of a header that is otherwise consistent.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "mmada/core/dtype.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using nlohmann::ordered_json;

/// Values are JSON text, so that none is out of reach.
struct Tensor {
  std::string name = "a";
  std::string dtype = "\"U8\"";
  std::vector<std::string> shape;
  std::vector<std::string> offsets = {"0", "0"};
  size_t without = 3;  // the number of a field left out: 0 dtype, 1 shape, 2 data_offsets
  std::string more;
};

struct File {
  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string more;  // members that are no tensors
  std::string data;
};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  size_t below(size_t bound) { return random_() % bound; }

  /// JSON of a kind that stands nowhere in a valid header.
  std::string odd_value() {
    static const std::vector<std::string> kValues = {"null",  "true", "false", "-1", "0.5",
                                                     "\"x\"", "[]",   "{}",    "1"};
    return kValues[below(kValues.size())];
  }

  std::string number() {
    if (below(12) == 0) return odd_value();
    static const std::vector<std::string> kNumbers = {"0",
                                                      "1",
                                                      "2",
                                                      "3",
                                                      "4",
                                                      "7",
                                                      "8",
                                                      "16",
                                                      "-1",
                                                      "-0",
                                                      "1.0",
                                                      "1e1",
                                                      "4294967296",
                                                      "2305843009213693952",
                                                      "9223372036854775807",
                                                      "9223372036854775808",
                                                      "18446744073709551615",
                                                      "18446744073709551616"};
    return below(3) ? std::to_string(below(9)) : kNumbers[below(kNumbers.size())];
  }

  std::string name() {
    static const std::vector<std::string> kNames = {"a",      "b", "c",        "\\u0000", "\\ud83d\\ude00",
                                                    "\\\"",   "",  "\xC3\xA9", "\xFF",    "__metadata__",
                                                    "\\ud800"};
    if (below(12) == 0) return std::string(90 + below(30), 'n');
    return below(2) ? std::string(1, static_cast<char>('a' + below(26))) : kNames[below(kNames.size())];
  }

  /// Lays the data out anew so that shapes, types and offsets agree.
  void lay_out(File& file) {
    uint64_t begin = 0;
    for (auto& tensor : file.tensors) {
      const auto dtype =
          mmada::dtype_from_name(std::string_view(tensor.dtype).substr(1, tensor.dtype.size() - 2));
      uint64_t end = dtype ? mmada::dtype_size(*dtype) : 1;
      for (const auto& size : tensor.shape) end *= static_cast<uint64_t>(std::atoll(size.c_str())) % 16;
      end = begin + end % 512;
      tensor.offsets = {std::to_string(begin), std::to_string(end)};
      begin = end;
    }
    file.data.resize(begin, 'x');
  }

  void change(File& file) {
    if (file.tensors.empty()) return add(file);
    Tensor& tensor = file.tensors[below(file.tensors.size())];
    switch (below(14)) {
      case 0:
        return add(file);
      case 1:
        return tensor.shape.insert(tensor.shape.begin() + below(tensor.shape.size() + 1), number()), void();
      case 2:
        return tensor.shape.empty() ? void() : tensor.shape.pop_back();
      case 3:
        return tensor.shape.empty() ? void() : void(tensor.shape[below(tensor.shape.size())] = number());
      case 4:
        return void(tensor.offsets[below(tensor.offsets.size())] = number());
      case 5:
        return shift(tensor);
      case 6:
        return void(tensor.offsets = file.tensors[below(file.tensors.size())].offsets);
      case 7:
        return below(4) ? void(tensor.dtype = dtype()) : change_fields(tensor);
      case 8:
        return void(tensor.name = name());
      case 9:
        return file.data.resize(below(2) ? file.data.size() + 1 : file.data.size() - file.data.size() / 2);
      case 10:
        return file.metadata.push_back({name(), below(4) ? "\"" + name() + "\"" : odd_value()});
      case 11:
        return void(file.more =
                        (below(4) ? ",\"" + name() : std::string(",\"__metadata__")) + "\":" + odd_value());
      case 12:
        return std::shuffle(file.tensors.begin(), file.tensors.end(), random_);
      default:
        return file.tensors.erase(file.tensors.begin() + below(file.tensors.size())), void();
    }
  }

 private:
  void add(File& file) {
    Tensor tensor;
    tensor.name = name();
    tensor.dtype = dtype();
    for (size_t i = below(3); i > 0; --i) tensor.shape.push_back(std::to_string(below(4)));
    file.tensors.push_back(tensor);
    lay_out(file);
  }
  void shift(Tensor& tensor) {
    const uint64_t by = below(2) ? 1 : 4;
    for (auto& offset : tensor.offsets)
      offset = std::to_string(std::strtoull(offset.c_str(), nullptr, 10) + by);
  }
  void change_fields(Tensor& tensor) {
    static const std::vector<std::string> kMore = {",\"shape\":[]", ",\"x\":1", ",\"dtype\":\"U8\"",
                                                   ",\"y\":{}", ""};
    if (below(2)) tensor.offsets.resize(1 + below(3), "0");
    if (below(3) == 0) tensor.without = below(3);
    tensor.more = kMore[below(kMore.size())];
  }
  std::string dtype() {
    static const std::vector<std::string> kTypes = {"U8",  "BOOL", "I16",     "BF16", "F32",
                                                    "I64", "F64",  "F8_E4M3", "u8"};
    if (below(12) == 0) return odd_value();
    return "\"" + kTypes[below(kTypes.size())] + "\"";
  }

  std::minstd_rand random_;
};

std::string header_text(const File& file) {
  std::string text = "{";
  const auto list = [](const std::vector<std::string>& items) {
    std::string joined;
    for (const auto& item : items) joined += (joined.empty() ? "" : ",") + item;
    return joined;
  };
  if (!file.metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : file.metadata) pairs.push_back("\"" + key + "\":" + value);
    text += "\"__metadata__\":{" + list(pairs) + "}" + (file.tensors.empty() ? "" : ",");
  }
  for (const auto& tensor : file.tensors) {
    std::vector<std::string> fields = {"\"dtype\":" + tensor.dtype, "\"shape\":[" + list(tensor.shape) + "]",
                                       "\"data_offsets\":[" + list(tensor.offsets) + "]"};
    if (tensor.without < fields.size()) fields.erase(fields.begin() + tensor.without);
    text += (&tensor == file.tensors.data() ? "\"" : ",\"") + tensor.name + "\":{" + list(fields) +
            tensor.more + "}";
  }
  return text + (text == "{" && !file.more.empty() ? file.more.substr(1) : file.more) + "}";
}

std::string file_bytes(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return bytes + header + data;
}

/// The header's text and the data behind it, as far as the length can be believed.
std::pair<std::string, std::string> split(const uint8_t* bytes, size_t size) {
  uint64_t length = 0;
  for (size_t i = 0; i < 8 && i < size; ++i) length |= uint64_t{bytes[i]} << (8 * i);
  const size_t begin = std::min<size_t>(8, size);
  const size_t taken = std::min<uint64_t>(length, size - begin);
  const auto* text = reinterpret_cast<const char*>(bytes) + begin;
  return {std::string(text, taken), std::string(text + taken, size - begin - taken)};
}

File parse(const std::string& header, const std::string& data) {
  File file;
  file.data = data;
  const auto json = ordered_json::parse(header, nullptr, false);
  if (!json.is_object()) return file;
  const auto plain = [](const ordered_json& value) {
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  };
  const auto bare = [&](const std::string& text) {
    const std::string quoted = plain(ordered_json(text));
    return quoted.substr(1, quoted.size() - 2);
  };
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__" && value.is_object())
      for (const auto& [key, text] : value.items()) file.metadata.emplace_back(bare(key), plain(text));
    if (!value.is_object() || !value.contains("shape") || !value.contains("data_offsets")) continue;
    Tensor tensor;
    tensor.name = bare(name);
    if (value.contains("dtype") && value["dtype"].is_string()) tensor.dtype = plain(value["dtype"]);
    for (const auto& size : value["shape"]) tensor.shape.push_back(plain(size));
    tensor.offsets.clear();
    for (const auto& offset : value["data_offsets"]) tensor.offsets.push_back(plain(offset));
    if (tensor.offsets.size() < 2) tensor.offsets.resize(2, "0");
    file.tensors.push_back(tensor);
  }
  return file;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size, size_t max_size, unsigned seed) {
  Mutator mutator(seed);
  const size_t kind = mutator.below(8);
  if (kind == 0) return LLVMFuzzerMutate(bytes, size, max_size);
  auto [header, data] = split(bytes, size);
  if (kind == 1) {  // any bytes as header, of the right length
    std::vector<uint8_t> text(header.begin(), header.end());
    text.resize(header.size() + 64);
    text.resize(LLVMFuzzerMutate(text.data(), header.size(), text.size()));
    header.assign(text.begin(), text.end());
  } else {
    File file = parse(header, data);
    for (size_t i = 1 + mutator.below(2); i > 0; --i) mutator.change(file);
    if (mutator.below(3) == 0) mutator.lay_out(file);
    header = header_text(file);
    data = file.data;
    static const char* const kEnds[] = {" ", "\n", "x", "{}", "\x00 "};
    if (mutator.below(16) == 0) header += std::string(kEnds[mutator.below(5)], 1 + (kind & 1));
    if (mutator.below(32) == 0) header.insert(0, " ");
    if (mutator.below(32) == 0) header.append(1900, ' ');
  }
  const std::string result = file_bytes(header, data);
  if (result.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, result.data(), result.size());
  return result.size();
}
