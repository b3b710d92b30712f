// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/rollout.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/diffusion/layouts.h"
#include "mmada/generation/observer.h"
#include "mmada/text/chat.h"

namespace mmada {
namespace {

/// The step that chose a position's token, and which it was: an early stop writes over those behind its eos.
struct Commit {
  int32_t step = 0;
  int64_t id = 0;
};

/// When each position of each row became a token.
class CommitTrace final : public Observer {
 public:
  void on_step(const StepEvent& event) override {
    for (const int64_t position : event.committed)
      commits_[event.row][position] = {static_cast<int32_t>(event.step),
                                       event.ids[static_cast<size_t>(position)]};
  }
  const std::map<int64_t, Commit>& of_row(int64_t row) { return commits_[row]; }

 private:
  std::map<int64_t, std::map<int64_t, Commit>> commits_;
};

/// Takes the row with its tokens and when they came, without the padding at its left, which attention never
/// sees.
void take_row(TokenIds ids, const std::map<int64_t, Commit>& commits, int64_t image_pad, Response* response) {
  const auto begin = std::ranges::find_if(ids, [&](int64_t id) { return id != image_pad; });
  const int64_t cut = begin - ids.begin();
  ids.erase(ids.begin(), begin);
  response->ids = std::move(ids);
  for (const auto& [position, commit] : commits) {
    response->ids[position - cut] = commit.id;
    response->tokens.push_back(position - cut);
    response->commit_steps.push_back(commit.step);
  }
}

}  // namespace

Request Rollout::text_request(const RolloutRequest& request) const {
  const PromptStream& stream = *request.stream;
  const TokenLayout& layout = generator_.model().layout;
  const std::string& words = request.sample->text;
  const TokenIds chat =
      generator_.encode_text(apply_chat_template({{"user", stream.think ? think_question(words) : words}}));
  TextRequest text{.prompt = chat, .options = stream.text};
  if (stream.task == PromptTask::kMmu) {
    MMADA_CHECK(!request.sample->image.pixels.empty(), "prompt stream ", stream.name,
                ": found a prompt without a picture, expected one with task mmu");
    text.prompt =
        mmu_prompt(layout,
                   encoder_.encode({{.text = "", .image = request.sample->image, .fit = request.sample->fit}})
                       .front()
                       .image,
                   chat);
  }
  if (stream.length > 0) {
    const int64_t reply = stream.length - std::ssize(chat);
    MMADA_CHECK(reply >= 1, "prompt stream ", stream.name, ": found a question of ", chat.size(),
                " tokens with its headers, expected fewer than its length ", stream.length);
    text.options.gen_length = text.options.block_length = reply;
    text.options.steps = (reply + stream.tokens_per_step - 1) / stream.tokens_per_step;
  }
  text.options.seed = options_.seed;
  text.options.stream = request.number;
  return text;
}

Request Rollout::lay_out(const RolloutRequest& request) const {
  if (request.stream->task != PromptTask::kT2i) return text_request(request);
  ImageRequest image{
      .caption = generator_.encode_text(request.sample->text), .codes = {}, .options = request.stream->image};
  image.options.seed = options_.seed;
  image.options.stream = request.number;
  return image;
}

/// What stands behind the first eos and its tail was never looked at.
void Rollout::end_at_eos(Response* response) const {
  const TokenLayout& layout = generator_.model().layout;
  const auto [ids, tokens, steps] = std::tie(response->ids, response->tokens, response->commit_steps);
  const auto first = std::ranges::find_if(tokens, [&](int64_t at) { return ids[at] == layout.eos; });
  response->ended = first != tokens.end();
  const int64_t kept = std::min<int64_t>(std::ssize(tokens), first - tokens.begin() + 1 + options_.eos_tail);
  if (response->ended) {  // an early stop has filled what the policy did not choose
    int64_t next = first - tokens.begin();
    for (int64_t at = *first; at < std::ssize(ids); ++at)
      if (next < kept && tokens[next] == at)
        ++next;
      else
        ids[at] = layout.mask;
  }
  tokens.resize(kept);
  steps.resize(kept);
}

std::vector<Response> Rollout::run(std::span<const RolloutRequest> requests) const {
  const TokenLayout& layout = generator_.model().layout;
  std::vector<Request> rows;
  for (const RolloutRequest& request : requests) rows.push_back(lay_out(request));
  CommitTrace trace;
  std::vector<Generated> made = generator_.observed({&trace}).batch(rows);
  std::vector<Response> responses(made.size());
  for (size_t i = 0; i < made.size(); ++i) {
    Response& response = responses[i];
    if (auto* picture = std::get_if<Picture>(&made[i])) {
      take_row(std::move(picture->ids), trace.of_row(static_cast<int64_t>(i)), layout.image_pad, &response);
      response.picture = true;
      if (!picture->pixels.empty()) response.image = std::move(static_cast<Image&>(*picture));
      continue;
    }
    auto& answer = std::get<TextAnswer>(made[i]);
    TokenIds said = std::move(answer.new_ids);
    const auto ends = [&](int64_t id) { return id == layout.eot || id == layout.eos || id == layout.mask; };
    said.erase(std::ranges::find_if(said, ends), said.end());
    response.text = answer_text(*generator_.model().tokenizer, said);
    take_row(std::move(answer.ids), trace.of_row(static_cast<int64_t>(i)), layout.image_pad, &response);
    end_at_eos(&response);
  }
  return responses;
}

std::vector<RewardSample> reward_samples(std::span<const RolloutRequest> requests,
                                         std::span<const Response> responses) {
  std::vector<RewardSample> samples;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Sample& prompt = *requests[i].sample;
    samples.push_back({.task = std::string(prompt_task_name(requests[i].stream->task)),
                       .prompt = prompt.text,
                       .response = responses[i].text,
                       .image = responses[i].image,
                       .answer = prompt.answer});
    samples.back().stream = requests[i].stream->name;
    if (!prompt.metadata.is_null()) samples.back().metadata = prompt.metadata;
    if (!prompt.image.pixels.empty()) samples.back().shown = prompt.image;
  }
  return samples;
}

}  // namespace mmada
