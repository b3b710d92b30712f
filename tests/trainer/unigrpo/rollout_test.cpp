// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/rollout.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/text/chat.h"
#include "tests/generation/small_generator.h"

namespace mmada {
namespace {

PromptStream text_stream() {
  PromptStream stream{.name = "sums", .task = PromptTask::kText, .prompts = 1};
  stream.text = {.gen_length = 12, .block_length = 6, .steps = 6, .temperature = 1.0, .early_stop = false};
  return stream;
}
PromptStream picture_stream() {
  PromptStream stream{.name = "drawing", .task = PromptTask::kT2i, .prompts = 1};
  stream.image = {.steps = 4, .rows = 4, .columns = 4, .max_text_length = 20};
  return stream;
}

struct Setting {
  Generator generator = tiny::generator();
  SampleEncoder encoder{generator.model().tokenizer,
                        std::make_shared<const Magvit2>(tiny::small_images()),
                        generator.model().layout,
                        {.resolution = 16, .cached_codes = ""}};
  PromptStream text = text_stream(), picture = picture_stream();
  Sample question{.text = "what is 1+2?", .image = {}, .answer = "3"};
  Sample caption{.text = "red", .image = {}};

  std::vector<Response> run(const std::vector<RolloutRequest>& requests,
                            RolloutOptions options = {.seed = 5}) {
    return Rollout(generator, encoder, options).run(requests);
  }
};

TEST_CASE("a response's tokens are what the policy chose, each with the step that chose it") {
  Setting set;
  const auto responses = set.run({{&set.text, &set.question, 0}, {&set.picture, &set.caption, 1}});
  const TokenLayout layout = tiny::layout();
  const Response &words = responses[0], &drawn = responses[1];
  REQUIRE(words.tokens.size() == words.commit_steps.size());
  // of two blocks of six, two tokens at each of six steps, until the first eos
  for (size_t i = 0; i < words.tokens.size(); ++i) {
    CHECK(words.ids[words.tokens[i]] != layout.mask);
    CHECK(words.commit_steps[i] / 3 == static_cast<int32_t>(i / 6));
  }
  CHECK_FALSE(words.image);
  REQUIRE(drawn.tokens.size() == 16);
  CHECK(drawn.picture);
  CHECK(drawn.text.empty());
  CHECK(drawn.image->width == 16);
  const std::set<int32_t> steps(drawn.commit_steps.begin(), drawn.commit_steps.end());
  CHECK(steps == std::set<int32_t>{0, 1, 2, 3});
  for (const int64_t token : drawn.tokens) CHECK(layout.code_window().contains(drawn.ids[token]));
  CHECK(drawn.ids.front() == layout.t2i);  // without the padding before it
}

template <class Options>
using Rules = std::vector<std::pair<std::string, void (*)(Options&)>>;

Rules<TextOptions> text_rules() {
  return {
      {"the plain one", [](TextOptions&) {}},
      {"threshold 0", [](TextOptions& o) { o.remasking = "low_confidence_dynamic", o.threshold = 0.0; }},
      {"threshold 0.5", [](TextOptions& o) { o.remasking = "low_confidence_dynamic", o.threshold = 0.5; }},
      {"threshold 1", [](TextOptions& o) { o.remasking = "low_confidence_dynamic", o.threshold = 1.0; }},
      {"random order", [](TextOptions& o) { o.remasking = "random"; }},
      {"random confidence", [](TextOptions& o) { o.confidence = "random"; }},
      {"margin", [](TextOptions& o) { o.confidence = "margin_confidence"; }},
      {"entropy", [](TextOptions& o) { o.confidence = "neg_entropy"; }},
      {"entropy over a threshold",
       [](TextOptions& o) { o.confidence = "neg_entropy", o.remasking = "low_confidence_dynamic"; }},
      {"cold", [](TextOptions& o) { o.temperature = 0.0; }},
      {"hot", [](TextOptions& o) { o.temperature = 5.0; }},
      {"greedy", [](TextOptions& o) { o.greedy = true; }},
      {"few best", [](TextOptions& o) { o.top_k = 3, o.top_p = 0.7; }},
      {"guided", [](TextOptions& o) { o.cfg_scale = 1.5; }},
      {"ends last", [](TextOptions& o) { o.confidence_eos_eot_inf = true; }}};
}
Rules<ImageOptions> picture_rules() {
  return {{"linear", [](ImageOptions& o) { o.schedule = "linear"; }},
          {"sigmoid", [](ImageOptions& o) { o.schedule = "sigmoid"; }},
          {"pow2", [](ImageOptions& o) { o.schedule = "pow2"; }},
          {"no remask noise", [](ImageOptions& o) { o.temperature = 0.0; }},
          {"much remask noise", [](ImageOptions& o) { o.temperature = 20.0; }},
          {"cold tokens", [](ImageOptions& o) { o.token_temperature = 0.0; }},
          {"greedy", [](ImageOptions& o) { o.greedy = true; }},
          {"guided", [](ImageOptions& o) { o.guidance_scale = 2.0; }}};
}

/// Every token has a step, no step is without a token, and beside other prompts it is the same.
void check_trace(Setting& set, const RolloutRequest& request, int64_t tokens, int64_t most_steps) {
  const RolloutOptions options{.eos_tail = tokens, .seed = 5};
  const Response alone = set.run({request}, options)[0];
  REQUIRE(std::ssize(alone.tokens) == tokens);
  REQUIRE(std::ssize(alone.commit_steps) == tokens);
  const std::set<int32_t> steps(alone.commit_steps.begin(), alone.commit_steps.end());
  CHECK(*steps.begin() == 0);
  CHECK(*steps.rbegin() == std::ssize(steps) - 1);
  CHECK(std::ssize(steps) <= most_steps);
  const Sample longer{.text = "what is 10+20?", .image = {}};
  const Response beside =
      set.run({{&set.picture, &set.caption, 1}, request, {&set.text, &longer, 2}}, options)[1];
  CHECK(beside.ids == alone.ids);
  CHECK(beside.tokens == alone.tokens);
  CHECK(beside.commit_steps == alone.commit_steps);
}

TEST_CASE("by every decoding rule each token has a step that chose it, the same beside other prompts") {
  Setting set;
  for (const auto& [name, change] : text_rules()) {
    INFO(name);
    PromptStream stream = text_stream();
    change(stream.text);
    const bool counted = stream.text.remasking != "low_confidence_dynamic";
    check_trace(set, {&stream, &set.question, 7}, 12, counted ? stream.text.steps : 12);
  }
  for (const auto& [name, change] : picture_rules()) {
    INFO(name);
    PromptStream stream = picture_stream();
    change(stream.image);
    check_trace(set, {&stream, &set.caption, 7}, 16, stream.image.steps);
  }
}

TEST_CASE("a block is chosen before the next, two tokens at a time or as many as are sure enough") {
  Setting set;
  const auto steps_of = [&](const std::string& remasking, double threshold) {
    set.text.text.remasking = remasking, set.text.text.threshold = threshold;
    return set.run({{&set.text, &set.question, 7}}, {.eos_tail = 12, .seed = 5})[0].commit_steps;
  };
  for (const char* remasking : {"low_confidence", "random"}) {
    const auto steps = steps_of(remasking, 0.5);
    for (int32_t step = 0; step < 6; ++step) CHECK(std::ranges::count(steps, step) == 2);
    CHECK(*std::ranges::max_element(steps.begin(), steps.begin() + 6) == 2);
  }
  CHECK(steps_of("low_confidence", 0.5) != steps_of("random", 0.5));
  CHECK(steps_of("low_confidence_dynamic", 0.0) == std::vector<int32_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1});
  const auto one_by_one = steps_of("low_confidence_dynamic", 1.0);
  for (int32_t step = 0; step < 12; ++step) CHECK(std::ranges::count(one_by_one, step) == 1);
  CHECK(*std::ranges::max_element(one_by_one.begin(), one_by_one.begin() + 6) == 5);
}

TEST_CASE("responses of one prompt differ by their numbers alone") {
  Setting set;
  const RolloutRequest request{&set.text, &set.question, 7};
  const auto same = set.run({request, request, {&set.text, &set.question, 8}});
  CHECK(same[0].ids == same[1].ids);
  CHECK(same[0].ids != same[2].ids);
  CHECK(set.run({request})[0].ids == same[0].ids);
  CHECK(set.run({request}, {.seed = 6})[0].ids != same[0].ids);
}

TEST_CASE("an early stop adds nothing to a response, and takes nothing of it but steps") {
  Setting set;
  const Response all = set.run({{&set.text, &set.question, 0}}, {.eos_tail = 1000, .seed = 5})[0];
  Model model = set.generator.model();
  model.layout.eos = all.ids[all.tokens[4]];
  set.generator = Generator(model);
  int ended = 0, tails = 0;
  for (const char* confidence : {"confidence", "random"})
    for (const bool one_block : {false, true})
      for (uint32_t number = 0; number < 24; ++number)
        for (const int64_t tail : {0, 3}) {
          INFO(confidence << ", " << one_block << ", " << number << ", tail " << tail);
          const auto answer = [&](bool early) {
            PromptStream stream = text_stream();
            stream.text.confidence = confidence, stream.text.early_stop = early;
            if (one_block) stream.text.block_length = 12, stream.text.steps = 12;
            return set.run({{&stream, &set.question, number}}, {.eos_tail = tail, .seed = 5})[0];
          };
          const Response early = answer(true), late = answer(false);
          CHECK(early.ended == late.ended);
          if (tail == 0) {
            CHECK(early.ids == late.ids);
            CHECK(early.tokens == late.tokens);
          }
          for (int64_t i = all.tokens.front(); i < std::ssize(early.ids); ++i)
            if (std::ranges::count(early.tokens, i) == 0) CHECK(early.ids[i] == model.layout.mask);
          if (tail == 0) ended += early.ended;
          tails += tail > 0 && early.ended && early.ids[early.tokens.back()] != model.layout.eos;
        }
  CHECK(ended > 8);
  CHECK(tails > 0);
}

TEST_CASE("behind the first eos and its tail a row says nothing") {
  Setting set;
  const RolloutRequest request{&set.text, &set.question, 3};
  const Response all = set.run({request})[0];
  REQUIRE(all.tokens.size() == 12);
  CHECK_FALSE(all.ended);
  // the same network, in whose vocabulary the fifth of these tokens is eos
  Model model = set.generator.model();
  model.layout.eos = all.ids[all.tokens[4]];
  const auto eos = std::ranges::find(all.ids.begin() + all.tokens[0], all.ids.end(), model.layout.eos);
  const int64_t first = eos - all.ids.begin() - all.tokens[0];
  set.generator = Generator(model);
  for (const int64_t tail : {0, 2, 100}) {
    const Response cut = set.run({request}, {.eos_tail = tail, .seed = 5})[0];
    CHECK(cut.ended);
    const int64_t kept = std::min<int64_t>(12, first + 1 + tail);
    REQUIRE(std::ssize(cut.tokens) == kept);
    REQUIRE(std::ssize(cut.commit_steps) == kept);
    for (int64_t i = 0; i < 12; ++i)
      CHECK(cut.ids[all.tokens[i]] == (i < kept ? all.ids[all.tokens[i]] : model.layout.mask));
  }
}

TEST_CASE("a length is shared by question and reply, in one block of so many tokens a step") {
  Setting set;
  set.text.length = 200, set.text.tokens_per_step = 50;
  const Response response = set.run({{&set.text, &set.question, 0}}, {.eos_tail = 1000, .seed = 5})[0];
  const auto asked =
      std::ssize(set.generator.encode_text(apply_chat_template({{"user", set.question.text}})));
  CHECK(std::ssize(response.tokens) == 200 - asked);
  CHECK(*std::ranges::max_element(response.commit_steps) == (200 - asked + 49) / 50 - 1);
  set.text.length = asked;
  CHECK_THROWS_WITH(
      set.run({{&set.text, &set.question, 0}}),
      Catch::Contains("prompt stream sums") && Catch::Contains("expected fewer than its length"));
}

TEST_CASE("rewards see prompt, response, picture, answer and metadata") {
  Setting set;
  set.caption.metadata = {{"scene", 1}};
  set.question.image = {
      .width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}};  // of a text it is left alone
  const std::vector<RolloutRequest> requests{{&set.text, &set.question, 0}, {&set.picture, &set.caption, 1}};
  const auto responses = set.run(requests);
  const auto samples = reward_samples(requests, responses);
  CHECK(samples[0].task == "text");
  CHECK(samples[0].prompt == "what is 1+2?");
  CHECK(samples[0].response == responses[0].text);
  CHECK(samples[0].answer == "3");
  CHECK(samples[0].metadata == Json::object());
  CHECK_FALSE(samples[0].image);
  CHECK(samples[0].shown->pixels == std::vector<uint8_t>{1, 2, 3});
  CHECK_FALSE(samples[1].shown);
  CHECK(samples[1].task == "t2i");
  CHECK(samples[1].image->pixels == responses[1].image->pixels);
  CHECK(samples[1].metadata == Json{{"scene", 1}});
}

}  // namespace
}  // namespace mmada
