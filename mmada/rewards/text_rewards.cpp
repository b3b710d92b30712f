// SPDX-License-Identifier: MIT
#include "mmada/rewards/text_rewards.h"

#include <algorithm>
#include <functional>

#include "mmada/rewards/think_text.h"

namespace mmada {
namespace {

/// A reward that looks at one sample at a time.
class EachSample : public Reward {
 public:
  using Judge = std::function<std::optional<double>(const RewardSample&)>;
  explicit EachSample(Judge judge) : judge_(std::move(judge)) {}
  Scores score(std::span<const RewardSample> samples) override {
    Scores scores;
    for (const RewardSample& sample : samples) scores.push_back(judge_(sample));
    return scores;
  }

 private:
  Judge judge_;
};

std::unique_ptr<Reward> each(EachSample::Judge judge) {
  return std::make_unique<EachSample>(std::move(judge));
}

using Matches = bool (*)(const std::string& answer, const std::string& reference);

std::unique_ptr<Reward> make_text_match(Fields fields, Matches matches) {
  const AnswerValues values = parse_answer_values(fields, 1.0);
  const bool by_case = fields.boolean("case", false);
  fields.finish();
  return each([=](const RewardSample& sample) {
    const auto form = [&](std::string_view text) {
      return by_case ? std::string(trimmed(text)) : lower_case(trimmed(text));
    };
    return values.of(sample, matches(form(read_think_text(sample.response).answer), form(sample.answer)));
  });
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::optional<double> AnswerValues::of(const RewardSample& sample, bool right) const {
  if (sample.answer.empty()) return {};
  return right ? correct : wrong;
}

AnswerValues parse_answer_values(Fields& fields, double correct) {
  AnswerValues values;
  values.correct = fields.number("correct", -kLargestValue, kLargestValue, correct);
  values.wrong = fields.number("wrong", -kLargestValue, kLargestValue, 0.0);
  return values;
}

std::optional<char> choice_letter(std::string_view answer) {
  const std::string_view text = trimmed(answer);
  if (text.size() == 1 && is_letter(text[0])) return static_cast<char>(text[0] & ~0x20);
  std::optional<char> letter;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool alone = text[i] >= 'A' && text[i] <= 'Z' && (i == 0 || !is_letter(text[i - 1])) &&
                       (i + 1 == text.size() || !is_letter(text[i + 1]));
    // unmarked they are words, "A" and "I"
    const bool marked =
        i + 1 == text.size() || std::string_view(").:},").find(text[i + 1]) != std::string_view::npos;
    if (!alone || !marked) continue;
    if (letter && *letter != text[i]) return {};
    letter = text[i];
  }
  return letter;
}

std::unique_ptr<Reward> make_choice_reward(Fields fields) {
  const AnswerValues values = parse_answer_values(fields, 2.0);
  fields.finish();
  return each([=](const RewardSample& sample) {
    const auto found = choice_letter(read_think_text(sample.response).answer);
    return values.of(sample, found && found == choice_letter(sample.answer));
  });
}

std::unique_ptr<Reward> make_exact_reward(Fields fields) {
  return make_text_match(std::move(fields), [](const std::string& answer, const std::string& reference) {
    return answer == reference;
  });
}

std::unique_ptr<Reward> make_contains_reward(Fields fields) {
  return make_text_match(std::move(fields), [](const std::string& answer, const std::string& reference) {
    return answer.find(reference) != std::string::npos;
  });
}

std::unique_ptr<Reward> make_format_reward(Fields fields) {
  const double value = fields.number("value", -kLargestValue, kLargestValue, 0.5);
  fields.finish();
  return each([=](const RewardSample& sample) -> std::optional<double> {
    return read_think_text(sample.response).well_formed ? value : 0.0;
  });
}

std::unique_ptr<Reward> make_length_reward(Fields fields) {
  const auto target = static_cast<double>(fields.integer("target", 0, 1 << 24));
  const auto limit = static_cast<double>(fields.integer("limit", 1, 1 << 24));
  const double value = fields.number("value", -kLargestValue, kLargestValue, 0.1);
  if (limit <= target) fields.fail("limit", cat(limit), cat("more than target, ", target));
  fields.finish();
  return each([=](const RewardSample& sample) -> std::optional<double> {
    const auto length = static_cast<double>(sample.response.size());
    return value * std::clamp((limit - length) / (limit - target), 0.0, 1.0);
  });
}

}  // namespace mmada
