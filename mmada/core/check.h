// SPDX-License-Identifier: MIT
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace mmada {

/// Bad data or a failed operation. The message says what, where, found and expected; programs exit with
/// status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A request that cannot be meant (unknown flag, steps that do not fit): programs exit with status 2 before
/// any work.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Joins the arguments into one string with operator<<.
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

}  // namespace mmada

/// Throws mmada::Error with the joined message parts when the condition does not hold.
#define MMADA_CHECK(condition, ...)                                    \
  do {                                                                 \
    if (!(condition)) throw ::mmada::Error(::mmada::cat(__VA_ARGS__)); \
  } while (false)
