// SPDX-License-Identifier: MIT
#include "mmada/formats/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {

std::string errno_text(int error) { return std::generic_category().message(error); }

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO somebody left in a checkpoint folder must not wait for a writer.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  MMADA_CHECK(descriptor_ >= 0, path_, ": cannot be opened for reading: ", errno_text(errno));
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    const std::string reason = known ? "found something else, expected a regular file" : errno_text(errno);
    ::close(std::exchange(descriptor_, -1));
    throw Error(cat(path_, ": ", reason));
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

void InputFile::read_at(uint64_t offset, void* destination, uint64_t bytes) const {
  auto* out = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got =
        ::pread(descriptor_, out, std::min<uint64_t>(bytes, 1u << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    MMADA_CHECK(got >= 0, path_, ": reading at byte ", offset, " failed: ", errno_text(errno));
    MMADA_CHECK(got > 0, path_, ": found the end of the file at byte ", offset, ", expected ", bytes,
                " more bytes");
    out += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

}  // namespace mmada
