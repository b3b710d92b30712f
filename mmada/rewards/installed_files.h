// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace mmada {

/// Where a program of this project lies: beside the running program, else where this library's installation
/// or build tree puts programs, else its name alone, which is looked up on PATH.
std::string find_program(const std::string& name);

/// Where a file of share/mmada lies, in this library's installation or build tree. Throws Error where it is
/// not.
std::string find_shared_file(const std::string& name);

}  // namespace mmada
