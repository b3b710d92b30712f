// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mmada {

/// A response as <think>REASONING</think>ANSWER.
struct ThinkText {
  /// Each mark stands there once, in order, with nothing but spaces before the first and something in between
  /// and behind.
  bool well_formed = false;
  std::string_view reasoning;  ///< between the first marks; empty where one is missing
  std::string_view answer;     ///< behind the last </think>; without one all of the response
};
/// Views into the response.
ThinkText read_think_text(std::string_view response);

/// Without spaces, tabs and line ends at its ends.
std::string_view trimmed(std::string_view text);
/// ASCII letters made small.
std::string lower_case(std::string_view text);

}  // namespace mmada
