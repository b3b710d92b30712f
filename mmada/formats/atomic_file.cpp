// SPDX-License-Identifier: MIT
#include "mmada/formats/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

std::string folder_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
}

std::string temporary_name(const std::string& path, int attempt) {
  const auto slash = path.find_last_of('/');
  const size_t base = slash == std::string::npos ? 0 : slash + 1;
  // 200: with the suffix the name stays below the file system's 255 bytes
  return path.substr(0, base) + cat(".", path.substr(base, 200), ".", ::getpid(), "-", attempt, ".tmp");
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  MMADA_CHECK(!path_.empty() && path_.back() != '/', "output path \"", path_, "\" names no file");
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0)
    MMADA_CHECK(S_ISREG(status.st_mode), path_,
                ": found a folder or device, expected a regular file or none");
  for (int attempt = 0; descriptor_ < 0;
       ++attempt) {  // names of other writers and of killed ones are skipped
    temporary_ = temporary_name(path_, attempt);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    MMADA_CHECK(descriptor_ >= 0 || errno == EEXIST, path_, ": cannot be written: ", errno_text(errno));
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  MMADA_CHECK(descriptor_ >= 0, path_, ": written to after commit");
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, next, std::min<size_t>(bytes, 1u << 30));
    if (put < 0 && errno == EINTR) continue;
    MMADA_CHECK(put >= 0, path_, ": writing failed with ", bytes, " bytes to go: ", errno_text(errno));
    next += put;
    bytes -= static_cast<size_t>(put);
  }
}

void AtomicFile::commit() {
  MMADA_CHECK(descriptor_ >= 0, path_, ": committed twice");
  MMADA_CHECK(::fsync(descriptor_) == 0, path_, ": fsync failed: ", errno_text(errno));
  MMADA_CHECK(::close(std::exchange(descriptor_, -1)) == 0, path_, ": closing failed: ", errno_text(errno));
  MMADA_CHECK(::rename(temporary_.c_str(), path_.c_str()) == 0, path_,
              ": renaming failed: ", errno_text(errno));
  temporary_.clear();
  sync_directory(folder_of(path_));
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path, uint64_t max_bytes) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  } file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  MMADA_CHECK(file.number >= 0, path, ": cannot be opened for reading: ", errno_text(errno));
  struct stat status {};
  MMADA_CHECK(::fstat(file.number, &status) == 0, path, ": ", errno_text(errno));
  MMADA_CHECK(!S_ISDIR(status.st_mode), path, ": found a folder, expected a file");
  const uint64_t size = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
  MMADA_CHECK(size <= max_bytes, path, ": found ", size, " bytes, expected at most ", max_bytes);
  std::string text;
  uint64_t filled = 0;
  text.resize(size + 1);  // one more than expected, so that the end is seen without a second allocation
  while (true) {
    if (filled == text.size()) text.resize(std::max<uint64_t>(text.size() * 2, 1u << 16));
    const ssize_t got = ::read(file.number, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    MMADA_CHECK(got >= 0, path, ": reading failed: ", errno_text(errno));
    if (got == 0) break;
    filled += static_cast<uint64_t>(got);
    MMADA_CHECK(filled <= max_bytes, path, ": found more than ", max_bytes, " bytes");
  }
  text.resize(filled);
  return text;
}

void sync_directory(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  MMADA_CHECK(folder >= 0, path, ": the folder cannot be opened: ", errno_text(errno));
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  // EINVAL: a file system that has nothing to sync for a folder
  MMADA_CHECK(error == 0 || error == EINVAL, path, ": fsync of the folder failed: ", errno_text(error));
}

}  // namespace mmada
