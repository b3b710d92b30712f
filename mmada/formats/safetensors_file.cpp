// SPDX-License-Identifier: MIT
#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/safetensors.h"

namespace mmada {
namespace {

constexpr uint64_t kLengthBytes = 8;  // the file begins with the header's length, little-endian

uint64_t read_header_bytes(const InputFile& file, const Limits& limits) {
  MMADA_CHECK(file.size() >= kLengthBytes, file.path(), ": found ", file.size(),
              " bytes, expected a safetensors file of at least ", kLengthBytes);
  uint8_t length[kLengthBytes];
  file.read_at(0, length, kLengthBytes);
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | length[i];
  MMADA_CHECK(header_bytes <= limits.safetensors_header_bytes, file.path(), ": found a header length of ",
              header_bytes, " bytes, expected at most ", limits.safetensors_header_bytes);
  MMADA_CHECK(header_bytes <= file.size() - kLengthBytes, file.path(), ": found a header length of ",
              header_bytes, " bytes, expected at most the ", file.size() - kLengthBytes,
              " bytes that follow (truncated, or no safetensors file)");
  return header_bytes;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path, const Limits& limits) : file_(path) {
  const uint64_t header_bytes = read_header_bytes(file_, limits);
  std::string header(header_bytes, '\0');
  file_.read_at(kLengthBytes, header.data(), header_bytes);
  data_begin_ = kLengthBytes + header_bytes;
  tensors_ = parse_safetensors_header(header, file_.size() - data_begin_, path, &metadata_, limits);
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

void SafetensorsFile::read(const TensorEntry& entry, void* destination) const {
  const bool within = entry.begin <= entry.end && entry.end <= file_.size() - data_begin_;
  MMADA_CHECK(within, path(), ": tensor ", quote(entry.name), " is not of this file");
  file_.read_at(data_begin_ + entry.begin, destination, entry.end - entry.begin);
}

}  // namespace mmada
