// SPDX-License-Identifier: MIT
#include "mmada/formats/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <clocale>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

/// libarchive turns names into the thread's character set: in the locale "C", foreign letters would all
/// become question marks and two files might share a name.
class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(shared())) {}
  ~Utf8Locale() { ::uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t shared() {
    static const locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    MMADA_CHECK(locale != nullptr, "tar: found no locale C.UTF-8 on this system, expected one");
    return locale;
  }
  locale_t before_;
};

/// Why a name is refused, or empty.
std::string fault_of_name(const std::string& name, const Limits& limits) {
  if (name.empty()) return "an empty name";
  if (name.size() > limits.tar_name_bytes) return cat("a name of ", name.size(), " bytes");
  if (name[0] == '/') return "an absolute name";
  if (!is_utf8(name)) return "a name that is not UTF-8";
  const auto unfit = [](char c) { return c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::any_of(name.begin(), name.end(), unfit)) return "a name with a backslash or control character";
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (name.compare(begin, end - begin, "..") == 0) return "a name that leads out of its folder";
    begin = end + 1;
  }
  return "";
}

/// "./a//b" -> "a/b"
std::string without_dots(const std::string& name) {
  std::string plain;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (!part.empty() && part != ".") plain += (plain.empty() ? "" : "/") + part;
    begin = end + 1;
  }
  return plain;
}

}  // namespace

struct TarReader::State {
  std::string source;
  Limits limits;
  std::optional<InputFile> file;  ///< or
  std::string bytes;
  uint64_t size = 0, offset = 0;
  std::array<char, 1 << 16> window;
  std::string failure;  ///< of reading, to be told instead of libarchive's own words
  archive* handle = nullptr;
  archive_entry* entry = nullptr;
  std::string name;
  uint64_t members = 0;
  bool ended = false;

  State(std::string source_name, const Limits& bounds) : source(std::move(source_name)), limits(bounds) {}
  ~State() { archive_read_free(handle); }

  void open() {
    const Utf8Locale locale;
    handle = archive_read_new();
    MMADA_CHECK(handle != nullptr, source, ": no memory for reading an archive");
    // These two and no other: none of the library's many decoders can be reached.
    archive_read_support_format_tar(handle);
    archive_read_support_filter_gzip(handle);
    archive_read_set_read_callback(handle, &State::read_some);
    archive_read_set_skip_callback(handle, &State::skip_some);
    archive_read_set_callback_data(handle, this);
    if (archive_read_open1(handle) != ARCHIVE_OK) fail("");
  }

  /// Blocks of zeros end an archive. The library takes the end of the file for them, but an archive cut
  /// between two members ends that way too, or behind a header that only prepares the next one (pax, long
  /// names). The latter is seen in plain archives: what a gzipped one holds is not had a second time.
  bool has_end_mark() {
    constexpr int64_t kBlock = 512;
    const int64_t end = archive_filter_bytes(handle, 0);
    if (end <= archive_read_header_position(handle)) return false;
    if (archive_filter_code(handle, 0) != ARCHIVE_FILTER_NONE) return true;
    copy(static_cast<uint64_t>(end - kBlock), kBlock);
    return std::all_of(window.begin(), window.begin() + kBlock, [](char byte) { return byte == 0; });
  }

  /// Into the window, which the library has no more use for, or asks to be filled.
  void copy(uint64_t begin, size_t count) {
    if (file)
      file->read_at(begin, window.data(), count);
    else
      std::memcpy(window.data(), bytes.data() + begin, count);
  }

  static la_ssize_t read_some(archive* a, void* self, const void** data) {
    auto& state = *static_cast<State*>(self);
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(state.window.size(), state.size - state.offset));
    try {
      state.copy(state.offset, count);
    } catch (const Error& error) {  // must not fly through C
      state.failure = error.what();
      archive_set_error(a, EIO, "reading failed");
      return -1;
    }
    state.offset += count;
    *data = state.window.data();
    return static_cast<la_ssize_t>(count);
  }

  static la_int64_t skip_some(archive*, void* self, la_int64_t wanted) {
    auto& state = *static_cast<State*>(self);
    const auto count = std::min<uint64_t>(static_cast<uint64_t>(wanted), state.size - state.offset);
    state.offset += count;
    return static_cast<la_int64_t>(count);
  }

  /// Throws libarchive's last error; `member` may be empty.
  [[noreturn]] void fail(const std::string& member) const {
    if (!failure.empty()) throw Error(failure);
    const char* reason = archive_error_string(handle);
    throw Error(cat(source, ": ", member.empty() ? "" : cat("member ", quote(member), ": "), "found ",
                    reason == nullptr ? "damage" : printable(reason, 300),
                    ", expected a complete tar archive, plain or gzipped"));
  }
};

TarReader::TarReader(const std::string& path, const Limits& limits)
    : state_(std::make_unique<State>(path, limits)) {
  state_->file.emplace(path);
  state_->size = state_->file->size();
  MMADA_CHECK(state_->size > 0, path, ": found an empty file, expected a tar archive");
  state_->open();
}

TarReader::TarReader(std::string bytes, const std::string& source, const Limits& limits)
    : state_(std::make_unique<State>(source, limits)) {
  state_->bytes = std::move(bytes);
  state_->size = state_->bytes.size();
  MMADA_CHECK(state_->size > 0, source, ": found no bytes, expected a tar archive");
  state_->open();
}

TarReader::~TarReader() = default;
TarReader::TarReader(TarReader&&) noexcept = default;

std::optional<TarMember> TarReader::next() {
  State& state = *state_;
  const Utf8Locale locale;
  while (!state.ended) {
    const int status = archive_read_next_header(state.handle, &state.entry);
    if (status == ARCHIVE_EOF) {
      MMADA_CHECK(state.has_end_mark(), state.source, ": found the end of the file after ", state.members,
                  " members, expected the archive's end mark: it was cut off");
      state.ended = true;
      break;
    }
    if (status != ARCHIVE_OK) state.fail("");
    ++state.members;
    MMADA_CHECK(state.members <= state.limits.tar_members, state.source, ": found more than ",
                state.limits.tar_members, " members");
    const char* name = archive_entry_pathname(state.entry);
    const std::string given = name == nullptr ? "" : name;
    const std::string fault = fault_of_name(given, state.limits);
    MMADA_CHECK(fault.empty(), state.source, ": member ", quote(given), ": found ", fault,
                ", expected a relative name of at most ", state.limits.tar_name_bytes, " bytes");
    const bool link = archive_entry_hardlink(state.entry) != nullptr;
    const auto type = archive_entry_filetype(state.entry);
    if (type == AE_IFDIR && !link) continue;
    MMADA_CHECK(type == AE_IFREG && !link, state.source, ": member ", quote(given),
                ": found a link or device, expected files and folders only");
    const auto bytes = static_cast<uint64_t>(archive_entry_size(state.entry));
    MMADA_CHECK(bytes <= state.limits.tar_member_bytes, state.source, ": member ", quote(given), ": found ",
                bytes, " bytes, expected at most ", state.limits.tar_member_bytes);
    state.name = without_dots(given);
    MMADA_CHECK(!state.name.empty(), state.source, ": member ", quote(given),
                ": found a name of dots alone, expected the name of a file");
    return TarMember{.name = state.name, .bytes = bytes};
  }
  return std::nullopt;
}

std::string TarReader::read() {
  State& state = *state_;
  const Utf8Locale locale;
  const auto size = static_cast<uint64_t>(archive_entry_size(state.entry));
  std::string contents;
  // Grown as bytes arrive: a header may promise what the file does not hold.
  while (contents.size() < size) {
    const size_t begin = contents.size();
    contents.resize(std::min<uint64_t>(size, begin + (1u << 20)));
    const la_ssize_t got = archive_read_data(state.handle, contents.data() + begin, contents.size() - begin);
    if (got <= 0) state.fail(state.name);
    contents.resize(begin + static_cast<size_t>(got));
  }
  return contents;
}

}  // namespace mmada
