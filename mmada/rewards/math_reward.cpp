// SPDX-License-Identifier: MIT
#include "mmada/rewards/math_reward.h"

#include "mmada/rewards/installed_files.h"
#include "mmada/rewards/math_answer.h"
#include "mmada/rewards/process_reward.h"
#include "mmada/rewards/text_rewards.h"
#include "mmada/rewards/think_text.h"

namespace mmada {
namespace {

/// Whether a text says itself which part is the final answer (math_answer.h).
bool is_marked(std::string_view text) {
  const auto holds = [&](const char* mark) { return text.find(mark) != std::string_view::npos; };
  return holds("\\boxed") || holds("\\fbox") || holds("####");
}

/// Whether it has two words or more: "the answer is 4", but not "4x + 1", nor anything in LaTeX.
bool is_prose(std::string_view text) {
  if (text.find('\\') != std::string_view::npos) return false;
  int words = 0;
  size_t letters = 0;
  for (const char c : std::string(text) + " ") {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && letters > 1) ++words;
    letters = letter ? letters + 1 : 0;
  }
  return words > 1;
}

/// What a reference states. The last number of an expression is a part of it and states nothing.
std::string stated(const std::string& reference) {
  if (is_marked(reference) || is_prose(reference)) return final_answer(reference).value_or(reference);
  const size_t equals = reference.rfind('=');
  return equals == std::string::npos ? reference : reference.substr(equals + 1);
}

/// What can be said of a response without computer algebra. A number at the end of LaTeX may be part of
/// something larger, so that it speaks for the response only where it fits.
Comparison compare_response(const RewardSample& sample, const std::optional<std::string>& found) {
  if (!found) return Comparison::kUnknown;
  const Comparison whole = compare_answers(*found, sample.answer);
  if (whole == Comparison::kEqual) return whole;
  const Comparison part = compare_answers(*found, stated(sample.answer));
  if (part == Comparison::kEqual) return part;
  const std::string_view text = read_think_text(sample.response).answer;
  const bool in_latex = !is_marked(text) && text.find('\\') != std::string_view::npos;
  return in_latex ? Comparison::kUnknown : whole;
}

/// As mathematics in a text, where it is not marked already.
std::string in_dollars(const std::string& text) {
  return text.find('$') == std::string::npos ? "$" + text + "$" : text;
}

/// The part of the sample that a worker compares.
RewardSample question(const RewardSample& sample, const std::optional<std::string>& found) {
  const std::string text(read_think_text(sample.response).answer);
  const std::string reference =
      is_marked(sample.answer) ? final_answer(sample.answer).value_or(sample.answer) : sample.answer;
  return {.task = sample.task,
          .prompt = sample.prompt,
          .response = found && is_marked(text) ? in_dollars(*found) : text,
          .image = {},
          .answer = in_dollars(reference)};
}

class MathReward : public Reward {
 public:
  MathReward(AnswerValues values, std::unique_ptr<Reward> verifier)
      : values_(values), verifier_(std::move(verifier)) {}

  Scores score(std::span<const RewardSample> samples) override {
    std::vector<std::optional<bool>> right(samples.size());  // none where the worker cannot tell
    std::vector<RewardSample> questions;
    std::vector<size_t> places;
    for (size_t i = 0; i < samples.size(); ++i) {
      const auto found = final_answer(samples[i].response);
      const Comparison known = compare_response(samples[i], found);
      right[i] = known == Comparison::kEqual;
      if (known == Comparison::kUnknown && verifier_ != nullptr && !samples[i].answer.empty())
        questions.push_back(question(samples[i], found)), places.push_back(i);
    }
    const Scores verdicts = questions.empty() ? Scores() : verifier_->score(questions);
    for (size_t i = 0; i < places.size(); ++i)
      right[places[i]] = verdicts[i] ? std::optional(*verdicts[i] > 0) : std::nullopt;
    Scores scores;
    for (size_t i = 0; i < samples.size(); ++i)
      scores.push_back(right[i] ? values_.of(samples[i], *right[i]) : std::nullopt);
    return scores;
  }

 private:
  AnswerValues values_;
  std::unique_ptr<Reward> verifier_;  ///< none where what is unknown is wrong
};

std::unique_ptr<Reward> make_verifier(Fields& fields) {
  const bool verify = fields.boolean("verify", false);
  ProcessRewardOptions options = parse_worker_options(fields);
  options.command = fields.strings("worker", std::vector<std::string>{});
  if (!verify && !options.command.empty()) fields.fail("worker", "a worker without \"verify\": true", "both");
  if (!verify) return nullptr;
  if (options.command.empty())
    options.command = {"python3", find_shared_file("serve_reward.py"),
                       find_shared_file("math_equality.py") + ":equal"};
  return make_worker_reward(options);
}

}  // namespace

std::unique_ptr<Reward> make_math_reward(Fields fields) {
  const AnswerValues values = parse_answer_values(fields, 2.0);
  auto verifier = make_verifier(fields);
  fields.finish();
  return std::make_unique<MathReward>(values, std::move(verifier));
}

}  // namespace mmada
