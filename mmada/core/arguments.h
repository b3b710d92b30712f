// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace mmada {

/// The strings as exec and posix_spawn take them: pointers into them, and a null behind the last.
inline std::vector<char*> argument_pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace mmada
