// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mmada/formats/limits.h"

namespace mmada {

/// One file of an archive.
struct TarMember {
  std::string name;    ///< relative, without "." and ".." parts, backslashes and control characters
  uint64_t bytes = 0;  ///< of its contents
};

/// The files of a tar archive, plain or gzipped (told apart by their bytes), one after another. Nothing is
/// ever extracted: contents go to memory, and names are only names.
///
/// Folders are passed over. Links, devices, names that could lead out of a folder, files above the limits,
/// archives without their end mark and any damage are errors that name the archive and, where there is one,
/// the member. What follows the end mark is not read. A plain archive's unread members cost a seek; a gzipped
/// one is unpacked to the last.
class TarReader {
 public:
  explicit TarReader(const std::string& path, const Limits& limits = {});
  /// An archive in memory; `source` names it in errors.
  TarReader(std::string bytes, const std::string& source, const Limits& limits = {});
  ~TarReader();
  TarReader(TarReader&&) noexcept;

  /// The next file, or nothing at the archive's end and from then on.
  std::optional<TarMember> next();
  /// Contents of the member that next() gave last; to be called at most once for each.
  std::string read();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mmada
