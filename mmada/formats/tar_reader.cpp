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

constexpr size_t kBlock = 512;

archive* new_reader(const std::string& source) {
  archive* const handle = archive_read_new();
  MMADA_CHECK(handle != nullptr, source, ": no memory for reading an archive");
  return handle;
}

}  // namespace

struct TarReader::State {
  std::string source;
  Limits limits;
  std::optional<InputFile> file;  ///< or
  std::string bytes;
  uint64_t size = 0, offset = 0;
  std::array<char, 1 << 16> window;
  std::string failure;          ///< of reading, to be told instead of libarchive's own words
  archive* unpacker = nullptr;  ///< of a gzipped archive: what it gives is read as a plain one
  std::string_view block;       ///< that it gave last; empty at the end
  std::string tail;             ///< what it gave before that: two blocks of an archive at most
  uint64_t unpacked = 0;        ///< bytes that it gave
  archive* handle = nullptr;
  archive_entry* entry = nullptr;
  std::string name;
  uint64_t members = 0;
  bool ended = false;

  State(std::string source_name, const Limits& bounds) : source(std::move(source_name)), limits(bounds) {}
  ~State() {
    archive_read_free(handle);
    archive_read_free(unpacker);
  }

  // gzip, tar and no other: none of the library's many decoders can be reached.
  void open() {
    const Utf8Locale locale;
    if (is_gzipped()) open_unpacker();
    handle = new_reader(source);
    archive_read_support_format_tar(handle);
    archive_read_set_read_callback(handle, unpacker != nullptr ? &State::unpack_some : &State::read_some);
    if (unpacker == nullptr) archive_read_set_skip_callback(handle, &State::skip_some);
    archive_read_set_callback_data(handle, this);
    if (archive_read_open1(handle) != ARCHIVE_OK) fail("");
  }

  bool is_gzipped() const {
    std::string magic(2, '\0');
    if (size >= magic.size()) copy(0, magic.size(), magic.data());
    return magic == "\x1f\x8b";
  }

  void open_unpacker() {
    unpacker = new_reader(source);
    archive_read_support_filter_gzip(unpacker);
    archive_read_support_format_raw(unpacker);
    archive_read_set_read_callback(unpacker, &State::read_some);
    archive_read_set_callback_data(unpacker, this);
    archive_entry* whole = nullptr;
    const bool opened = archive_read_open1(unpacker) == ARCHIVE_OK &&
                        archive_read_next_header(unpacker, &whole) == ARCHIVE_OK;
    if (!opened) fail("");
  }

  /// Blocks of zeros end an archive. The library takes the end of the file for them, but an archive cut
  /// between two members ends that way too, or behind a header that only prepares the next one (pax, long
  /// names).
  bool has_end_mark() {
    const int64_t end = archive_filter_bytes(handle, 0);
    if (end <= archive_read_header_position(handle)) return false;
    std::string last(kBlock, '?');
    if (unpacker == nullptr)
      copy(static_cast<uint64_t>(end) - kBlock, kBlock, last.data());
    else
      last = unpacked_block(static_cast<uint64_t>(end));
    return last == std::string(kBlock, '\0');
  }

  /// The block before `end` of what was unpacked; the library reads no further ahead than one block, so that
  /// it is there. Nothing where it is not.
  std::string unpacked_block(uint64_t end) const {
    const std::string kept = tail + std::string(block);
    const uint64_t behind = unpacked - end;
    if (end > unpacked || behind + kBlock > kept.size()) return "";
    return kept.substr(kept.size() - behind - kBlock, kBlock);
  }

  void copy(uint64_t begin, size_t count, char* to) const {
    if (file)
      file->read_at(begin, to, count);
    else
      std::memcpy(to, bytes.data() + begin, count);
  }

  static la_ssize_t read_some(archive* a, void* self, const void** data) {
    auto& state = *static_cast<State*>(self);
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(state.window.size(), state.size - state.offset));
    try {
      state.copy(state.offset, count, state.window.data());
    } catch (const Error& error) {  // must not fly through C
      state.failure = error.what();
      archive_set_error(a, EIO, "reading failed");
      return -1;
    }
    state.offset += count;
    *data = state.window.data();
    return static_cast<la_ssize_t>(count);
  }

  /// The next block that the unpacker has.
  static la_ssize_t unpack_some(archive* a, void* self, const void** data) {
    auto& state = *static_cast<State*>(self);
    state.tail += state.block.substr(state.block.size() - std::min(state.block.size(), 2 * kBlock));
    state.tail.erase(0, state.tail.size() - std::min(state.tail.size(), 2 * kBlock));
    state.block = {};
    size_t count = 0;
    la_int64_t place = 0;
    const int status = archive_read_data_block(state.unpacker, data, &count, &place);
    if (status == ARCHIVE_EOF) return 0;
    if (status != ARCHIVE_OK) {
      archive_set_error(a, EIO, "%s", archive_error_string(state.unpacker));
      return -1;
    }
    state.block = {static_cast<const char*>(*data), count};
    state.unpacked += count;
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
    const char* reason = archive_error_string(handle != nullptr ? handle : unpacker);
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
