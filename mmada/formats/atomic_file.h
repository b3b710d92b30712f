// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmada {

/// A file that appears complete or not at all: bytes go to a temporary name beside it (".NAME.PID-N.tmp"),
/// commit() fsyncs, renames and fsyncs the folder. Without commit() the destructor removes the temporary
/// file.
///
/// Every failed call throws mmada::Error with the path and the system's reason; a failed fsync is a failed
/// write and is not tried again. An existing path that is not a regular file (a device, a folder) is refused.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// Writes the whole text as one AtomicFile.
void write_file(const std::string& path, std::string_view text);
/// Reads the whole file (a pipe too); refuses more than max_bytes, where possible before reading.
std::string read_file(const std::string& path, uint64_t max_bytes = 256u << 20);
/// Forces a folder's entries to disk (after a rename inside it).
void sync_directory(const std::string& path);

}  // namespace mmada
