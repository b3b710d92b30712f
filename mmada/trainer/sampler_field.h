// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/generation/options.h"

namespace mmada {

/// A field of a training configuration that says how something is generated: a sampler's name (such as
/// "pocket_text"), or its fields, or nothing: the defaults. `path` stands before its name in errors.
TextOptions text_sampler(Fields& fields, const std::string& key, const std::string& path);
ImageOptions image_sampler(Fields& fields, const std::string& key, const std::string& path);

}  // namespace mmada
