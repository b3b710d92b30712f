// SPDX-License-Identifier: MIT
#include "mmada/rewards/math_answer.h"

#include <algorithm>
#include <utility>

#include "mmada/rewards/measure_unit.h"
#include "mmada/rewards/think_text.h"

namespace mmada {
namespace {

using Wide = __int128;
constexpr Wide kMost = Wide{1} << 60;  // of numerators and denominators: products stay within 128 bits

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A fraction in lowest terms with a positive denominator.
struct Number {
  Wide numerator = 0, denominator = 1;
  bool percent = false;
  std::optional<MeasureUnit> unit = {};  ///< where it is a known one
};

std::optional<Number> fraction(Wide numerator, Wide denominator) {
  if (denominator == 0) return {};
  if (denominator < 0) numerator = -numerator, denominator = -denominator;
  Wide a = numerator < 0 ? -numerator : numerator, b = denominator;
  while (b != 0) a = std::exchange(b, a % b);
  if (a > 1) numerator /= a, denominator /= a;
  if (numerator >= kMost || numerator <= -kMost || denominator >= kMost) return {};
  return Number{numerator, denominator};
}

bool equal(const Number& a, const Number& b) {
  return a.numerator == b.numerator && a.denominator == b.denominator;
}

/// In the smallest unit of its kind.
std::optional<Number> smallest(const Number& number) {
  return fraction(number.numerator * number.unit->times, number.denominator);
}

bool same_value(const Number& a, const Number& b) {
  if (a.unit && b.unit) {
    if (a.unit->kind != b.unit->kind) return false;
    const auto one = smallest(a), other = smallest(b);
    return one && other ? equal(*one, *other) : equal(a, b) && a.unit->times == b.unit->times;
  }
  if (equal(a, b)) return true;
  if (a.percent == b.percent) return false;
  const Number &with = a.percent ? a : b, &without = a.percent ? b : a;
  const auto share = fraction(with.numerator, with.denominator * 100);
  return share && equal(*share, without);
}

/// Digits, a point and an exponent at `at`, which moves behind them; without sign.
std::optional<Number> read_decimal(std::string_view text, size_t* at) {
  Wide numerator = 0, denominator = 1;
  size_t i = *at;
  bool digits = false, point = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !point && i + 1 < text.size() && is_digit(text[i + 1])) {
      point = true;
      continue;
    }
    if (!is_digit(text[i])) break;
    digits = true;
    if (numerator > kMost / 10 || denominator > kMost / 10) return {};
    numerator = numerator * 10 + (text[i] - '0');
    if (point) denominator *= 10;
  }
  if (!digits) return {};
  if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    size_t j = i + 1;
    const bool negative = text[j] == '-';
    if (text[j] == '-' || text[j] == '+') ++j;
    if (j < text.size() && is_digit(text[j])) {
      int exponent = 0;
      for (; j < text.size() && is_digit(text[j]) && exponent < 100; ++j)
        exponent = exponent * 10 + (text[j] - '0');
      for (int k = 0; k < exponent; ++k) {
        Wide& grows = negative ? denominator : numerator;
        if (grows > kMost / 10) return {};
        grows *= 10;
      }
      i = j;
    }
  }
  *at = i;
  return fraction(numerator, denominator);
}

std::optional<Number> quotient(const std::optional<Number>& a, const std::optional<Number>& b) {
  if (!a || !b) return {};
  const auto inverse = fraction(b->denominator, b->numerator);
  if (!inverse) return {};
  return fraction(a->numerator * inverse->numerator, a->denominator * inverse->denominator);
}

std::optional<Number> sum(const Number& a, const Number& b) {
  return fraction(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

/// "{...}" or one character at `at`, which moves behind it.
std::optional<std::string_view> read_argument(std::string_view text, size_t* at) {
  if (*at >= text.size()) return {};
  if (text[*at] != '{') return text.substr((*at)++, 1);
  int depth = 0;
  for (size_t i = *at; i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth > 0) continue;
    const std::string_view inside = text.substr(*at + 1, i - *at - 1);
    *at = i + 1;
    return inside;
  }
  return {};
}

std::optional<Number> whole_decimal(std::string_view text) {
  size_t at = 0;
  const auto number = read_decimal(text, &at);
  return number && at == text.size() ? number : std::nullopt;
}

/// \frac{a}{b} at `at`, or a/b behind a decimal; `at` moves behind it.
std::optional<Number> read_unsigned(std::string_view text, size_t* at) {
  for (const std::string_view name : {"\\frac", "\\dfrac", "\\tfrac"}) {
    if (!text.substr(*at).starts_with(name)) continue;
    size_t i = *at + name.size();
    const auto above = read_argument(text, &i), below = above ? read_argument(text, &i) : std::nullopt;
    if (!below) return {};
    *at = i;
    return quotient(whole_decimal(*above), whole_decimal(*below));
  }
  const auto first = read_decimal(text, at);
  if (!first || *at >= text.size() || text[*at] != '/') return first;
  size_t i = *at + 1;
  const auto second = read_decimal(text, &i);
  if (!second) return first;
  *at = i;
  return quotient(first, second);
}

void erase_all(std::string& text, std::string_view what) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at))
    text.erase(at, what.size());
}

/// Commas between a digit and exactly three more.
void drop_thousands(std::string& text) {
  const auto digit_at = [&](size_t i) { return i < text.size() && is_digit(text[i]); };
  for (size_t i = 1; i < text.size(); ++i)
    if (text[i] == ',' && digit_at(i - 1) && digit_at(i + 1) && digit_at(i + 2) && digit_at(i + 3) &&
        !digit_at(i + 4))
      text.erase(i, 1);
}

/// Without what does not change a number: marks of money, degrees and mathematics, commas between thousands.
std::string plain(std::string_view answer) {
  std::string text(trimmed(answer));
  for (const char* mark : {"\\left", "\\right", "\\!", "\\,", "\\;", "\\(", "\\)", "\\[", "\\]", "^\\circ",
                           "^{\\circ}", "\\circ", "\xC2\xB0", "\\$", "$", "\xE2\x82\xAC", "\xC2\xA3"})
    erase_all(text, mark);
  for (size_t at = text.find("\\%"); at != std::string::npos; at = text.find("\\%", at)) text.erase(at, 1);
  const std::string_view unwrapped = trimmed(text);  // \text{5 cm}
  if (constexpr std::string_view kText = "\\text{";
      unwrapped.starts_with(kText) && unwrapped.find('}') == unwrapped.size() - 1)
    text = std::string(unwrapped.substr(kText.size(), unwrapped.size() - kText.size() - 1));
  drop_thousands(text);
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  return std::string(trimmed(text));
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// What stands behind a number and is nothing or its unit: a known one, words, or \text{...} and the like. A
/// single letter, and what is right behind the number and has a power, is rather a variable.
bool is_unit(std::string_view rest) {
  const std::string_view unit = trimmed(rest);
  if (unit.empty()) return true;
  for (const std::string_view name : {"\\text", "\\mathrm", "\\mbox"})
    if (unit.starts_with(name)) return true;
  if (measure_unit(unit)) return true;
  const bool apart = unit.size() < rest.size();
  if (unit.size() == 1) return apart && unit.front() >= 'A' && unit.front() <= 'Z';  // 5 N
  if (const size_t power = unit.find('^'); power < 2 || (power != std::string_view::npos && !apart))
    return false;
  return is_letter(unit.front()) && std::ranges::all_of(unit, [](char c) {
           return is_letter(c) || std::string_view(" ./^{}23").find(c) != std::string_view::npos;
         });
}

/// The answer where it is a number, perhaps with a sign, a whole part, a percent sign or a unit.
std::optional<Number> number_of(std::string_view answer) {
  const std::string text = plain(answer);
  size_t at = 0;
  // "x = 5" is 5
  if (const size_t sign = text.rfind('='); sign != std::string::npos)
    at = text.find_first_not_of(' ', sign + 1);
  if (at == std::string::npos) return {};
  const bool negative = text.substr(at).starts_with("-");
  if (negative || text.substr(at).starts_with("+")) ++at;
  auto number = read_unsigned(text, &at);
  if (!number) return {};
  size_t next = at;
  while (next < text.size() && text[next] == ' ') ++next;
  const bool mixed = next > at || std::string_view(text).substr(at).starts_with('\\');
  if (number->denominator == 1 && mixed)  // a whole part and a fraction: 1 1/2
    if (const auto part = read_unsigned(text, &next); part && part->denominator != 1)
      number = sum(*number, *part), at = next;
  if (!number) return {};
  if (negative) number->numerator = -number->numerator;
  std::string_view rest = std::string_view(text).substr(at);
  if (trimmed(rest).starts_with('%')) number->percent = true, rest = trimmed(rest).substr(1);
  if (!is_unit(rest)) return {};
  number->unit = measure_unit(rest);
  return number;
}

/// In small letters; spaces stand between words and numbers alone.
std::string normal_text(std::string_view text) {
  const std::string small = lower_case(plain(text));
  const auto is_word = [](char c) { return is_letter(c) || is_digit(c); };
  std::string result;
  for (size_t i = 0; i < small.size(); ++i) {
    if (small[i] != ' ') {
      result += small[i];
      continue;
    }
    const size_t next = small.find_first_not_of(' ', i);
    if (!result.empty() && is_word(result.back()) && next != std::string::npos && is_word(small[next]))
      result += ' ';
    i = next == std::string::npos ? small.size() : next - 1;
  }
  return result;
}

std::optional<std::string> last_boxed(std::string_view text) {
  for (const std::string_view name : {"\\boxed", "\\fbox"}) {
    const size_t found = text.rfind(name);
    if (found == std::string_view::npos) continue;
    size_t at = found + name.size();
    while (at < text.size() && text[at] == ' ') ++at;
    if (const auto inside = read_argument(text, &at)) return std::string(*inside);
  }
  return {};
}

/// Where the number that ends with the last digit begins: its digits, points, commas, slashes and sign.
std::optional<std::string> last_number(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  if (end == 0) return {};
  size_t begin = end;
  const auto part = [&](char c) { return is_digit(c) || c == '.' || c == ',' || c == '/'; };
  while (begin > 0 && part(text[begin - 1])) --begin;
  while (begin < end && !is_digit(text[begin]) && text[begin] != '.') ++begin;
  if (begin > 0 && text[begin - 1] == '-' && (begin == 1 || !is_digit(text[begin - 2]))) --begin;
  const bool percent = end < text.size() && text[end] == '%';
  return std::string(text.substr(begin, end - begin + (percent ? 1 : 0)));
}

}  // namespace

std::optional<std::string> final_answer(std::string_view response) {
  const std::string_view answer = read_think_text(response).answer;
  if (auto boxed = last_boxed(answer)) return boxed;
  constexpr std::string_view kMarked = "####";
  if (const size_t mark = answer.rfind(kMarked); mark != std::string_view::npos) {
    const std::string_view rest = answer.substr(mark + kMarked.size());
    return std::string(trimmed(rest.substr(0, rest.find('\n', rest.find_first_not_of(" \n")))));
  }
  return last_number(answer);
}

Comparison compare_answers(std::string_view found, std::string_view reference) {
  const auto a = number_of(found), b = number_of(reference);
  if (a && b) return same_value(*a, *b) ? Comparison::kEqual : Comparison::kDifferent;
  if (normal_text(found) == normal_text(reference)) return Comparison::kEqual;
  return Comparison::kUnknown;
}

}  // namespace mmada
