// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mmada {

/// Text out of a foreign file made fit for a message: invalid UTF-8 and control characters become \xNN (a
/// terminal must not act on them), and what exceeds max_bytes is cut to "...".
std::string printable(std::string_view text, size_t max_bytes = 120);
/// printable() in double quotes.
std::string quote(std::string_view text, size_t max_bytes = 120);
/// Bytes of the valid UTF-8 character at the front (1..4), or 0: overlong forms, surrogates and values above
/// U+10FFFF are invalid.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace mmada
