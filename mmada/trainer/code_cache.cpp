// SPDX-License-Identifier: MIT
#include "mmada/trainer/code_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <ostream>

#include "mmada/core/check.h"
#include "mmada/core/sha256.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/input_file.h"
#include "mmada/trainer/tensorboard.h"

namespace mmada {
namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

int open_or_make(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  MMADA_CHECK(descriptor >= 0, path, ": cannot be opened for writing: ", errno_text(errno));
  return descriptor;
}

int64_t file_size(int descriptor, const std::string& path) {
  struct stat status {};
  MMADA_CHECK(::fstat(descriptor, &status) == 0, path, ": cannot be examined: ", errno_text(errno));
  return status.st_size;
}

/// False where the file ends before.
bool read_all(int descriptor, const std::string& path, void* data, size_t bytes, int64_t offset) {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor, at, bytes, offset);
    if (got < 0 && errno == EINTR) continue;
    MMADA_CHECK(got >= 0, path, ": cannot be read: ", errno_text(errno));
    if (got == 0) return false;
    at += got, offset += got, bytes -= static_cast<size_t>(got);
  }
  return true;
}

void write_all(int descriptor, const std::string& path, const std::string& data, int64_t offset) {
  for (size_t done = 0; done < data.size();) {
    const ssize_t put =
        ::pwrite(descriptor, data.data() + done, data.size() - done, offset + static_cast<int64_t>(done));
    if (put < 0 && errno == EINTR) continue;
    MMADA_CHECK(put > 0, path, ": cannot be written: ", errno_text(errno));
    done += static_cast<size_t>(put);
  }
}

std::string bytes_of(const CodeCache::Key& key) { return {key.begin(), key.end()}; }

std::string bytes_of(const CodeCache::Codes& codes) {
  return {reinterpret_cast<const char*>(codes.data()), codes.size() * sizeof codes[0]};
}

uint32_t checksum(const CodeCache::Key& key, const CodeCache::Codes& codes) {
  return crc32c(bytes_of(key) + bytes_of(codes));
}

constexpr int64_t kKeyBytes = sizeof(CodeCache::Key);

int64_t record_bytes(int64_t count) { return (count + 1) * static_cast<int64_t>(sizeof(uint32_t)); }

}  // namespace

/// Holds the index against other processes.
class CodeCache::Lock {
 public:
  Lock(int descriptor, int kind, const std::string& path) : descriptor_(descriptor) {
    int failed = 0;
    while ((failed = ::flock(descriptor, kind)) != 0 && errno == EINTR) {
    }
    MMADA_CHECK(failed == 0, path, ": cannot be locked: ", errno_text(errno));
  }
  ~Lock() { ::flock(descriptor_, LOCK_UN); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int descriptor_;
};

size_t CodeCache::Hash::operator()(const Key& key) const {
  size_t hash = 0;  // the key is a digest: any part of it is as good as any hash
  std::memcpy(&hash, key.data(), sizeof hash);
  return hash;
}

CodeCache::CodeCache(const std::string& folder, const Json& setup, int64_t count) : count_(count) {
  const std::string text = setup.dump(2) + "\n";
  path_ = folder + "/" + sha256_hex(text).substr(0, 16);
  std::filesystem::create_directories(path_);
  if (!std::filesystem::exists(path_ + "/setup.json")) write_file(path_ + "/setup.json", text);
  index_ = open_or_make(path_ + "/index");
  codes_ = open_or_make(path_ + "/codes");
  read_new_entries();
}

CodeCache::~CodeCache() {
  for (const int descriptor : {index_, codes_})
    if (descriptor >= 0) ::close(descriptor);
}

/// What is behind the entries already read, whole entries only.
void CodeCache::read_new_entries() {
  const std::string path = path_ + "/index";
  const int64_t entries = file_size(index_, path) / kKeyBytes;
  if (entries <= entries_) return;
  std::vector<Key> keys(entries - entries_);
  MMADA_CHECK(read_all(index_, path, keys.data(), keys.size() * kKeyBytes, entries_ * kKeyBytes), path,
              ": became shorter while it was read, expected it only to grow");
  places_.reserve(entries);
  for (const Key& key : keys) places_[key] = entries_++;
}

std::optional<CodeCache::Codes> CodeCache::find(const Key& key) {
  if (!is_kept(key) && file_size(index_, path_ + "/index") / kKeyBytes > entries_) {
    const Lock lock(index_, LOCK_SH, path_ + "/index");
    read_new_entries();
  }
  const auto place = places_.find(key);
  if (place == places_.end()) return std::nullopt;
  Codes codes(count_ + 1);
  const int64_t bytes = record_bytes(count_);
  const bool whole = read_all(codes_, path_ + "/codes", codes.data(), bytes, place->second * bytes);
  const uint32_t sum = codes.back();
  codes.pop_back();
  if (whole && sum == checksum(key, codes)) return codes;
  if (damaged_++ == 0 && log_ != nullptr)
    *log_ << path_ << "/codes: record " << place->second
          << " is damaged: its picture is encoded again, as every picture with a damaged record is; this is "
             "said once"
          << std::endl;
  places_.erase(place);  // until put() writes it again
  return std::nullopt;
}

void CodeCache::put(const std::vector<std::pair<Key, Codes>>& pictures) {
  if (pictures.empty()) return;
  const Lock lock(index_, LOCK_EX, path_ + "/index");
  read_new_entries();
  std::string codes, keys;
  const int64_t first = entries_;
  for (const auto& [key, values] : pictures) {
    MMADA_CHECK(std::ssize(values) == count_, path_, ": found a picture of ", values.size(),
                " codes, expected ", count_);
    if (!places_.try_emplace(key, entries_).second) continue;
    ++entries_;
    const uint32_t sum = checksum(key, values);
    codes += bytes_of(values) + std::string(reinterpret_cast<const char*>(&sum), sizeof sum);
    keys += bytes_of(key);
  }
  // over whatever a killed writer left behind the last whole entry
  write_all(codes_, path_ + "/codes", codes, first * record_bytes(count_));
  write_all(index_, path_ + "/index", keys, first * kKeyBytes);
}

}  // namespace mmada
