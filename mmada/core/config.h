// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// Reads a configuration file (JSONC: JSON with // and /* */ comments), applies overrides, then resolves
/// references.
///
/// An override `a.b=v` sets one field: v is read as JSON where it parses, else as a string; numbers in the
/// path index lists (`flows.0.rows=4`). Objects on the way are created; that a field means something is
/// checked by whoever reads the configuration (Fields). A string `${a.b}` stands for the value at that path;
/// inside a longer string the value's text is inserted; the path leads through the file as written. Overrides
/// apply before references are resolved, so that they reach everything that refers to them.
Json load_config(const std::string& path, const std::vector<std::string>& overrides = {});

/// The same steps on a parsed value.
void apply_override(Json& config, const std::string& assignment);
Json resolve_references(const Json& config, const std::string& source);

}  // namespace mmada
