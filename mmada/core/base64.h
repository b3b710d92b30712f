// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mmada {

/// RFC 4648 section 4, with padding and without line breaks.
std::string encode_base64(std::string_view bytes);
/// The bytes of such a text. Throws Error for other characters, a length that is no multiple of 4, and bits
/// behind the last byte that are not 0.
std::string decode_base64(std::string_view text);

}  // namespace mmada
