// SPDX-License-Identifier: MIT
// Archives, plain and gzipped: whatever is accepted has names that stay inside a folder and all its bytes.
#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/tar_reader.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

namespace {

constexpr size_t kBlock = 512;

/// Whether a folder joined with the name is below the folder, said in another way than the parser says it.
bool stays_inside(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.back() == '/') return false;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

bool is_plain(const std::string& name) {
  return is_utf8(name) && std::ranges::all_of(name, [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte >= 0x20 && byte != 0x7F && c != '\\';
         });
}

bool has_end_mark(std::string_view bytes) {
  for (size_t at = 0; at + kBlock <= bytes.size(); at += kBlock)
    if (bytes.substr(at, kBlock).find_first_not_of('\0') == std::string_view::npos) return true;
  return false;
}

/// Whether a plain archive's first header is that of a link, a device or a pipe. A hard link to nothing is a
/// file.
bool begins_with_a_link(std::string_view bytes) {
  constexpr size_t kType = 156, kTarget = 157;
  if (bytes.size() <= kBlock || (bytes[kType] == '1' && bytes[kTarget] == '\0')) return false;
  return std::string_view("12346").find(bytes[kType]) != std::string_view::npos;
}

/// Reads every second member, as a source that wants some of them does; returns how many there were.
uint64_t read_all(TarReader* archive, const Limits& limits) {
  uint64_t members = 0;
  while (const auto member = archive->next()) {
    promise(stays_inside(member->name), "a name stays inside its folder");
    promise(is_plain(member->name), "a name is UTF-8 without control characters and backslashes");
    promise(member->name.size() <= limits.tar_name_bytes, "a name is within the limit");
    promise(member->bytes <= limits.tar_member_bytes, "a member is within the limit");
    if (members++ % 2 == 0) promise(archive->read().size() == member->bytes, "every byte is there");
  }
  promise(!archive->next(), "the end stays the end");
  return members;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Limits limits;
  limits.tar_members = 3;
  limits.tar_member_bytes = 2048;
  limits.tar_name_bytes = 200;
  const std::string_view bytes = fuzz::text_of(data, size);
  try {
    TarReader archive(std::string(bytes), "archive", limits);
    const uint64_t members = read_all(&archive, limits);
    promise(members <= limits.tar_members, "members are within the limit");
    promise(bytes.starts_with("\x1f\x8b") || members == 0 || !begins_with_a_link(bytes), "links are refused");
    promise(!bytes.empty(), "no bytes are no archive");
    promise(bytes.starts_with("\x1f\x8b") || has_end_mark(bytes), "an archive has its end mark");
  } catch (const Error&) {
  }
  return 0;
}
