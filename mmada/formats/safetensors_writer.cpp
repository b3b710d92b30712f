// SPDX-License-Identifier: MIT
#include <algorithm>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/checked.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"

namespace mmada {
namespace {

void check_text(const std::string& text, const std::string& path, std::string_view what) {
  MMADA_CHECK(is_utf8(text) && text.find('\0') == std::string::npos, path, ": ", what, " ", quote(text),
              " is not UTF-8 without NUL");
}

Json header_of(const std::vector<const TensorToWrite*>& tensors,
               const std::map<std::string, std::string>& metadata, const std::string& path) {
  Json header = Json::object();
  auto& members = header.get_ref<Json::object_t&>();  // appended to directly: operator[] searches all of them
  if (!metadata.empty()) {
    Json& pairs = header["__metadata__"] = Json::object();
    for (const auto& [key, value] : metadata) {
      check_text(key, path, "metadata key");
      check_text(value, path, "metadata value");
      pairs[key] = value;
    }
  }
  uint64_t begin = 0;
  std::set<std::string_view> names = {"__metadata__"};
  for (const auto* tensor : tensors) {
    check_text(tensor->name, path, "tensor name");
    MMADA_CHECK(names.insert(tensor->name).second, path, ": tensor name ", quote(tensor->name),
                " is given twice");
    const auto bytes = tensor_bytes(tensor->shape, tensor->dtype);
    const auto end = bytes ? checked_add(begin, *bytes) : std::nullopt;
    MMADA_CHECK(end, path, ": tensor ", quote(tensor->name), " has a negative or overflowing shape");
    MMADA_CHECK(*bytes == 0 || tensor->data != nullptr, path, ": tensor ", quote(tensor->name),
                " has no data");
    members.push_back(
        {tensor->name,
         {{"dtype", dtype_name(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {begin, *end}}}});
    begin = *end;
  }
  return header;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToWrite*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return dtype_size(a->dtype) > dtype_size(b->dtype); });
  std::string header = header_of(order, metadata, path).dump();
  header.append((8 - header.size() % 8) % 8, ' ');  // the data begin at a multiple of 8
  MMADA_CHECK(header.size() <= Limits{}.safetensors_header_bytes, path, ": the header would take ",
              header.size(), " bytes, expected at most ", Limits{}.safetensors_header_bytes);
  std::string length(8, '\0');
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  AtomicFile file(path);
  file.write(length + header);
  for (const auto* tensor : order) file.write(tensor->data, *tensor_bytes(tensor->shape, tensor->dtype));
  file.commit();
}

}  // namespace mmada
