// SPDX-License-Identifier: MIT
// A whole safetensors file: whatever is accepted must agree with the header as read by another parser, cover
// the data exactly, respect the limits, and be readable into buffers of exactly its tensors' sizes.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <set>

#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/formats/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

namespace {

Limits small_limits() {
  Limits limits;
  limits.safetensors_header_bytes = 2000;
  limits.safetensors_entries = 6;
  limits.safetensors_rank = 5;
  limits.safetensors_string_bytes = 100;
  return limits;
}

/// The input as a file in memory, made once and refilled.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    promise(descriptor_ >= 0, "memfd_create works here");
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  const std::string& fill(const uint8_t* data, size_t size) {
    promise(::ftruncate(descriptor_, 0) == 0, "ftruncate works here");
    promise(::pwrite(descriptor_, data, size, 0) == static_cast<ssize_t>(size), "pwrite works here");
    return path_;
  }

 private:
  int descriptor_;
  std::string path_;
};

uint64_t product_of(const std::vector<int64_t>& shape) {
  unsigned __int128 product = 1;
  for (const int64_t size : shape) {
    promise(size >= 0, "dimensions are not negative");
    product *= static_cast<uint64_t>(size);
    promise(product <= UINT64_MAX, "the number of elements fits");
  }
  return static_cast<uint64_t>(product);
}

void check_entry(const TensorEntry& entry, const Json& described, const Limits& limits) {
  promise(entry.name.size() <= limits.safetensors_string_bytes, "names are within the limit");
  promise(entry.name.find('\0') == std::string::npos && is_utf8(entry.name), "names are UTF-8 without NUL");
  promise(entry.shape.size() <= limits.safetensors_rank, "ranks are within the limit");
  promise(described.is_object() && described.size() == 3, "an entry has three fields");
  promise(described["dtype"] == Json(dtype_name(entry.dtype)), "the dtype is the header's");
  promise(described["shape"] == Json(entry.shape), "the shape is the header's");
  promise(described["data_offsets"] == Json({entry.begin, entry.end}), "the offsets are the header's");
}

void check_accepted(const SafetensorsFile& file, std::string_view header, uint64_t data_bytes,
                    const Limits& limits) {
  promise(header.size() <= limits.safetensors_header_bytes && header.front() == '{',
          "the header has the right form");
  Json json = parse_json(header, "header");
  const size_t metadata = json.contains("__metadata__") ? 1 : 0;
  promise(json.is_object() && json.size() == file.tensors().size() + metadata, "every member is an entry");
  promise(file.tensors().size() <= limits.safetensors_entries, "entries are within the limit");
  promise(file.metadata().size() <= limits.safetensors_entries, "metadata are within the limit");
  if (metadata == 1)
    promise(json["__metadata__"].size() == file.metadata().size(), "every metadata pair is kept");
  for (const auto& [key, value] : file.metadata())
    promise(json["__metadata__"][key] == Json(value), "metadata are the header's");
  uint64_t covered = 0;
  for (const auto& entry : file.tensors()) {
    promise(json.contains(entry.name), "an entry's name is the header's");
    check_entry(entry, json[entry.name], limits);
    promise(entry.begin == covered && entry.end >= entry.begin, "data have neither holes nor overlap");
    covered = entry.end;
    const uint64_t bytes = product_of(entry.shape) * dtype_size(entry.dtype);
    promise(covered <= data_bytes, "data lie within the file");
    const std::unique_ptr<char[]> buffer(new char[bytes]);  // AddressSanitizer sees a byte too many
    file.read(entry, buffer.get());
  }
  promise(covered == data_bytes, "the tensors cover the data");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MemoryFile memory;
  const Limits limits = small_limits();
  try {
    const SafetensorsFile file(memory.fill(data, size), limits);
    promise(size >= 8, "an accepted file holds a length");
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | data[i];
    promise(header_bytes <= size - 8, "an accepted header lies within the file");
    try {
      check_accepted(file, fuzz::text_of(data + 8, header_bytes), size - 8 - header_bytes, limits);
    } catch (const Error& error) {
      promise(false, error.what());  // nothing may fail after the header was accepted
    }
  } catch (const Error&) {
  }
  return 0;
}
