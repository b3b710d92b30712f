// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mmada {

/// The final answer within a response: behind its reasoning the contents of the last \boxed{...} or
/// \fbox{...}, else what follows the last "####", else the last number; none where there is none of these.
std::optional<std::string> final_answer(std::string_view response);

/// What can be said of two answers without computer algebra.
enum class Comparison { kEqual, kDifferent, kUnknown };

/// Compares a response's final answer with the reference. Signs of money and degrees, commas between
/// thousands, \text{}, \left and \right and dollar signs do not count. Of units, which stand behind a number,
/// known ones (measure_unit.h) are converted where both answers have one; others do not count. Numbers are
/// whole, decimal, with an exponent, fractions a/b, \frac{a}{b}, \frac ab and mixed, and are compared exactly
/// as fractions. A percent sign on one side alone divides by a hundred or not, whichever fits. Unknown: texts
/// that differ and of which one is no number, such as expressions in LaTeX.
Comparison compare_answers(std::string_view found, std::string_view reference);

}  // namespace mmada
