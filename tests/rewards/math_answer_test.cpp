// SPDX-License-Identifier: MIT
#include "mmada/rewards/math_answer.h"

#include <catch2/catch.hpp>

using namespace mmada;

TEST_CASE("the final answer is the last box, the marked line, or the last number, behind the reasoning") {
  CHECK(final_answer("<think>\\boxed{1}</think> so \\boxed{2} or \\boxed{\\frac{1}{2}}") == "\\frac{1}{2}");
  CHECK(final_answer("\\boxed{ {3} }") == " {3} ");
  CHECK(final_answer("\\boxed 7") == "7");
  CHECK(final_answer("48/2 = 24\n#### 24\nfive") == "24");
  CHECK(final_answer("#### 1,080") == "1,080");
  CHECK(final_answer("It took 3 days and cost $1,234.50.") == "1,234.50");
  CHECK(final_answer("<think>5</think> the answer is -3") == "-3");
  CHECK(final_answer("from 10-3") == "3");
  CHECK(final_answer("about 20%") == "20%");
  CHECK(final_answer("so 1/2.") == "1/2");
  CHECK(final_answer(".5") == ".5");
  CHECK_FALSE(final_answer("<think>5</think> no idea"));
  CHECK_FALSE(final_answer(""));
  CHECK(final_answer("\\boxed{unclosed 5") == "5");
}

TEST_CASE("numbers are equal as fractions, however they are written") {
  const auto equal = [](const char* a, const char* b) {
    INFO(a << " and " << b);
    CHECK(compare_answers(a, b) == Comparison::kEqual);
    CHECK(compare_answers(b, a) == Comparison::kEqual);
  };
  equal("24", "24.0"), equal("1,234", "1234"), equal("$1,234,567.50", "1234567.5"), equal("\\$5", "5");
  equal("1/2", "0.5"), equal("\\frac{1}{2}", "0.50"), equal("\\dfrac12", "1/2"),
      equal("-\\frac{3}{4}", "-0.75");
  equal("2/4", "1/2"), equal("1 1/2", "1.5"), equal("1\\frac{1}{2}", "1.5"), equal("1.5e3", "1500"),
      equal("2e-2", "0.02");
  equal("50%", "50"), equal("50%", "0.5"), equal("50\\%", "1/2"), equal("50%", "50 %");
  equal("5 km", "5"), equal("5 apples", "5"), equal("12 cm^2", "12"), equal("5\\text{ cm}", "5"),
      equal("30^\\circ", "30"), equal("30\xC2\xB0", "30"), equal("5m", "5"), equal("5 N", "5"),
      equal("2 ft^2", "2"), equal("3 miles/hour", "3");
  equal("x = 5", "5"), equal("$5$", "5"), equal("+7", "7"), equal(" 7. ", "7"), equal("007", "7"),
      equal("0", "-0");
}

TEST_CASE("known units are converted where both answers have one, others do not count") {
  const auto compare = [](const char* a, const char* b) {
    INFO(a << " and " << b);
    CHECK(compare_answers(a, b) == compare_answers(b, a));
    return compare_answers(a, b);
  };
  for (const auto& [a, b] : {std::pair("5 km", "5000 m"),
                             {"50 cm", "0.5 meters"},
                             {"5\\text{ cm}^2", "500 mm^2"},
                             {"1.5 h", "90 minutes"},
                             {"2 kg", "2000\\mathrm{~g}"},
                             {"0.25 L", "250 ml"},
                             {"1 L", "1000 cm^3"},
                             {"\\text{5 cm}", "5"},
                             {"5 km", "5 kilometres"},
                             {"5 miles", "5 apples"},
                             {"2 cubic feet", "2"},
                             {"1 m^3", "1000000000 mm^{3}"}})
    CHECK(compare(a, b) == Comparison::kEqual);
  for (const auto& [a, b] : {std::pair("5 km", "5 m"),
                             {"5 m", "5 s"},
                             {"5 cm", "5 cm^2"},
                             {"5 h", "5 min"},
                             {"5 miles", "6 apples"}})
    CHECK(compare(a, b) == Comparison::kDifferent);
}

TEST_CASE("numbers that differ are different, not unknown") {
  const auto differ = [](const char* a, const char* b) {
    INFO(a << " and " << b);
    CHECK(compare_answers(a, b) == Comparison::kDifferent);
  };
  differ("24", "25"), differ("0.333", "1/3"), differ("-5", "5"), differ("50%", "5"),

      differ("1e3", "100");
}

TEST_CASE("texts are equal but for spaces and case, and otherwise unknown") {
  CHECK(compare_answers("\\sqrt{2}", "\\sqrt{ 2 }") == Comparison::kEqual);
  CHECK(compare_answers("Monday", "monday") == Comparison::kEqual);
  CHECK(compare_answers("\\sqrt{4}", "2") == Comparison::kUnknown);
  for (const char* variable : {"5x", "5 x", "5x^2", "5 x^2", "5N", "5xy^2"})
    CHECK(compare_answers(variable, "5") == Comparison::kUnknown);
  CHECK(compare_answers("1/0", "1/0") == Comparison::kEqual);
  CHECK(compare_answers("1/0", "1") == Comparison::kUnknown);
  CHECK(compare_answers("12 34", "1234") == Comparison::kUnknown);
  CHECK(compare_answers("", "1") == Comparison::kUnknown);
  CHECK(compare_answers("1,23", "123") == Comparison::kUnknown);  // a decimal comma?
  CHECK(compare_answers("2 + 3", "5") == Comparison::kUnknown);
}

TEST_CASE("numbers too large for exact fractions are left to others") {
  CHECK(compare_answers("123456789012345678901234567890", "1") == Comparison::kUnknown);
  CHECK(compare_answers("1e99", "1") == Comparison::kUnknown);
  CHECK(compare_answers("123456789012345678901234567890", "123456789012345678901234567890") ==
        Comparison::kEqual);
}
