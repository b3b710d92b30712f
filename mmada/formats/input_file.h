// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace mmada {

/// A regular file opened for positioned reads. Its size is taken once, at opening; a file that shrinks under
/// the reader gives an error and never a signal, which is why nothing here is mapped into memory.
class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Fills destination with the bytes [offset, offset + bytes); fewer are an error.
  void read_at(uint64_t offset, void* destination, uint64_t bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// "No such file or directory" for ENOENT and so on, safe with threads.
std::string errno_text(int error);

}  // namespace mmada
