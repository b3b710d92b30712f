// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"

/// Rewards of text alone; their configurations are those of make_reward.
namespace mmada {

constexpr double kLargestValue = 1e6;  ///< of a configured reward

/// What right and wrong answers earn.
struct AnswerValues {
  double correct = 0.0, wrong = 0.0;
  std::optional<double> of(const RewardSample& sample, bool right) const;  ///< none without a reference
};

/// Reads "correct" and "wrong" (0 unless given).
AnswerValues parse_answer_values(Fields& fields, double correct);

std::unique_ptr<Reward> make_choice_reward(Fields fields);
std::unique_ptr<Reward> make_exact_reward(Fields fields);
std::unique_ptr<Reward> make_contains_reward(Fields fields);
std::unique_ptr<Reward> make_format_reward(Fields fields);
std::unique_ptr<Reward> make_length_reward(Fields fields);

/// The letter of a multiple-choice answer: of "(B)", "B.", "Answer: B", \boxed{B} or a lone "b"; none where
/// there is none or several differ.
std::optional<char> choice_letter(std::string_view answer);

}  // namespace mmada
