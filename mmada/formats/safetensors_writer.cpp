// SPDX-License-Identifier: MIT
#include <algorithm>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/checked.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/formats/safetensors_writer.h"

namespace mmada {
namespace {

void check_text(const std::string& text, const std::string& path, std::string_view what) {
  MMADA_CHECK(is_utf8(text) && text.find('\0') == std::string::npos, path, ": ", what, " ", quote(text),
              " is not UTF-8 without NUL");
}

Json header_of(const std::vector<TensorOutline>& tensors, const std::map<std::string, std::string>& metadata,
               const std::string& path, uint64_t* data_bytes) {
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
  for (const TensorOutline& tensor : tensors) {
    check_text(tensor.name, path, "tensor name");
    MMADA_CHECK(names.insert(tensor.name).second, path, ": tensor name ", quote(tensor.name),
                " is given twice");
    const auto bytes = tensor_bytes(tensor.shape, tensor.dtype);
    const auto end = bytes ? checked_add(begin, *bytes) : std::nullopt;
    MMADA_CHECK(end, path, ": tensor ", quote(tensor.name), " has a negative or overflowing shape");
    members.push_back(
        {tensor.name,
         {{"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, *end}}}});
    begin = *end;
  }
  *data_bytes = begin;
  return header;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<TensorOutline>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path), file_(path) {
  std::string header = header_of(tensors, metadata, path, &missing_).dump();
  header.append((8 - header.size() % 8) % 8, ' ');  // the data begin at a multiple of 8
  MMADA_CHECK(header.size() <= Limits{}.safetensors_header_bytes, path, ": the header would take ",
              header.size(), " bytes, expected at most ", Limits{}.safetensors_header_bytes);
  std::string length(8, '\0');
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  file_.write(length + header);
}

void SafetensorsWriter::write(const void* data, uint64_t bytes) {
  MMADA_CHECK(bytes <= missing_, path_, ": found ", bytes, " bytes to write, expected at most the ", missing_,
              " that the header's tensors still lack");
  file_.write(data, bytes);
  missing_ -= bytes;
}

void SafetensorsWriter::commit() {
  MMADA_CHECK(missing_ == 0, path_, ": found ", missing_, " bytes of its tensors unwritten, expected none");
  file_.commit();
}

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToWrite*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return dtype_size(a->dtype) > dtype_size(b->dtype); });
  std::vector<TensorOutline> outlines;
  for (const auto* tensor : order) {
    outlines.push_back({tensor->name, tensor->dtype, tensor->shape});
    MMADA_CHECK(tensor->data != nullptr || tensor_bytes(tensor->shape, tensor->dtype).value_or(1) == 0, path,
                ": tensor ", quote(tensor->name), " has no data");
  }
  SafetensorsWriter file(path, outlines, metadata);
  for (const auto* tensor : order) file.write(tensor->data, *tensor_bytes(tensor->shape, tensor->dtype));
  file.commit();
}

}  // namespace mmada
