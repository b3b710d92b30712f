// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mmada {

/// Without ASCII white space at either end.
std::string stripped(std::string_view text);
/// stripped() text of a foreign file; bytes that are not UTF-8 are an error that names `place`.
std::string checked_text(std::string_view bytes, const std::string& place);
/// checked_text of a whole file of at most 1 MiB: a caption, not a book.
std::string read_text_file(const std::string& path);
/// Whether there is a regular file (or a link to one) of that name.
bool is_file(const std::string& path);

}  // namespace mmada
