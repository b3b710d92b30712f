// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "mmada/core/json.h"

namespace mmada::published {

/// One YAML document as JSON, read as OmegaConf reads it: plain scalars are null, booleans and numbers (5e-5
/// too) where they look like them, quoted ones are always strings; anchors are written out.
///
/// Errors name `source`, line and column: malformed text, several documents, keys that are no strings or come
/// twice, tags of other types, more than 65,536 values or 64 levels (anchors can multiply both).
Json parse_yaml(std::string_view text, const std::string& source);

}  // namespace mmada::published
