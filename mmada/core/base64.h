// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mmada {

/// RFC 4648, section 4, padded, on one line.
std::string base64(std::string_view bytes);
/// The bytes; none where the text is no such encoding.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace mmada
