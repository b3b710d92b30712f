// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// The names that a pattern with braces stands for, as a shell expands it: lists {a,b}, ranges {0..12} and
/// {000..012} (numbers are padded to the longer spelling where either begins with a zero), {9..0}, steps
/// {0..10..2}, several groups (the last one changes fastest), groups inside lists. "s-{00..02}.tar" ->
/// s-00.tar, s-01.tar, s-02.tar; a pattern without braces stands for itself.
///
/// Braces that do not pair and groups that are neither list nor range are errors (a shell leaves them as they
/// are), and so are more than a million names. `source` names the pattern's origin in errors.
std::vector<std::string> expand_braces(const std::string& pattern, const std::string& source);

/// The files of an option that is a path, a pattern with braces, or a list of either: at least one, each with
/// one of the endings.
std::vector<std::string> expand_paths(Fields& fields, const std::string& key, const std::string& source,
                                      const std::vector<std::string>& endings);

}  // namespace mmada
