// SPDX-License-Identifier: MIT
#include "mmada/generation/denoise.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "mmada/generation/image_canvas.h"
#include "mmada/generation/text_canvas.h"
#include "tests/generation/tiny.h"

namespace mmada {
namespace {

/// Requests of every task, lengths and windows mixed, with noise on tokens and remasking.
std::vector<Request> mixed_requests(uint64_t seed) {
  const int64_t mask = tiny::layout().mask;
  CodeGrid holes{3, 5, {}};
  for (int64_t i = 0; i < 15; ++i) holes.codes.push_back(i % 2 ? i : -1);
  return {
      TextRequest{{50, 3, 4, 5},
                  {.gen_length = 24, .block_length = 8, .steps = 12, .temperature = 1.0, .seed = seed}},
      TextRequest{TokenIds(31, 7),
                  {.gen_length = 16,
                   .block_length = 16,
                   .steps = 5,
                   .temperature = 0.7,
                   .cfg_scale = 1.5,
                   .seed = seed,
                   .stream = 1}},
      ImageRequest{{9, 10, 11}, {}, {.steps = 6, .guidance_scale = 2.0, .seed = seed, .stream = 2}},
      InfillRequest{{50, mask, 4, mask, mask, 6, 51}, {.steps = 2, .temperature = 1.0, .seed = seed}},
      ImageRequest{{12}, holes, {.steps = 4, .seed = seed, .stream = 3}},
      TextRequest{{50},
                  {.gen_length = 12,
                   .block_length = 6,
                   .steps = 4,
                   .temperature = 2.0,
                   .remasking = "low_confidence_dynamic",
                   .threshold = 0.3,
                   .seed = seed,
                   .stream = 4}},
      TextRequest{{50, 8},
                  {.gen_length = 8, .block_length = 8, .steps = 8, .remasking = "random", .seed = seed}},
  };
}

const TokenIds& ids_of(const Generated& answer) {
  return std::visit([](const auto& a) -> const TokenIds& { return a.ids; }, answer);
}
int64_t nfe_of(const Generated& answer) {
  return std::visit([](const auto& a) { return a.nfe; }, answer);
}

TEST_CASE("rows of different length and task together give token for token what each gives alone") {
  const Generator generate(tiny::random_model(1));
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const auto requests = mixed_requests(seed);
    const auto together = generate.batch(requests);
    REQUIRE(together.size() == requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      INFO("seed " << seed << ", request " << i);
      const Generated alone = generate.batch({requests[i]}).front();
      CHECK(ids_of(together[i]) == ids_of(alone));
      CHECK(nfe_of(together[i]) == nfe_of(alone));
    }
  }
}

TEST_CASE("a row added while others run gives what it gives alone") {
  const Model model = tiny::random_model(1);
  const TextOptions options{.gen_length = 16, .block_length = 8, .steps = 8, .temperature = 1.0, .seed = 3};
  const Canvas early = text_canvas(model.layout, {50, 3}, options),
               late = text_canvas(model.layout, {50, 3, 4, 5}, options);
  Denoiser denoiser(model.transformer, model.layout);
  CHECK_FALSE(denoiser.step());
  denoiser.add(early);
  denoiser.step();
  denoiser.step();
  CHECK(denoiser.take_finished().empty());
  denoiser.add(late);
  while (denoiser.step()) {
  }
  const auto finished = denoiser.take_finished();
  REQUIRE(finished.size() == 2);
  CHECK(denoiser.unfinished() == 0);
  const Generator generate(model);
  CHECK(finished[0].row == 0);
  CHECK(finished[0].ids == generate.run(TextRequest{{50, 3}, options}).ids);
  CHECK(finished[1].ids == generate.run(TextRequest{{50, 3, 4, 5}, options}).ids);
}

/// Keeps what it sees.
struct Recorder : Observer {
  struct Seen {
    int64_t row, step, region;
    TokenIds ids;
    std::vector<int64_t> committed;
    std::vector<double> confidence;
    size_t candidates;
  };
  std::vector<Seen> seen;
  void on_step(const StepEvent& e) override {
    seen.push_back({e.row,
                    e.step,
                    e.region,
                    e.ids,
                    {e.committed.begin(), e.committed.end()},
                    {e.confidence.begin(), e.confidence.end()},
                    e.candidates.size()});
  }
};

TEST_CASE("observers see every step, and every generated position committed exactly once") {
  Recorder recorder;
  const Generator generate = Generator(tiny::random_model(1)).observed({&recorder});
  const auto answers = generate.batch(mixed_requests(2));
  std::map<int64_t, std::vector<int64_t>> committed;
  std::map<int64_t, int64_t> events;
  for (const auto& seen : recorder.seen) {
    CHECK(seen.step == events[seen.row]++);
    for (const int64_t position : seen.committed) {
      committed[seen.row].push_back(position);
      CHECK(ids_of(answers[seen.row])[position] == seen.ids[position]);
    }
  }
  for (size_t row = 0; row < answers.size(); ++row) {
    CHECK(events[row] == nfe_of(answers[row]));
    const auto& positions = committed[row];
    CHECK(std::set<int64_t>(positions.begin(), positions.end()).size() == positions.size());
  }
  CHECK(committed[2].size() == 16);  // the whole picture
  CHECK(committed[4].size() == 8);   // its holes alone
}

TEST_CASE("blocks are filled in order, each with its planned counts") {
  Recorder recorder;
  const Generator generate = Generator(tiny::random_model(4)).observed({&recorder});
  generate.run(
      TextRequest{{50, 3, 4}, {.gen_length = 16, .block_length = 8, .steps = 6, .early_stop = false}});
  REQUIRE(recorder.seen.size() == 6);
  const std::vector<size_t> counts{3, 3, 2, 3, 3, 2};
  for (size_t i = 0; i < 6; ++i) {
    CHECK(recorder.seen[i].committed.size() == counts[i]);
    CHECK(recorder.seen[i].region == static_cast<int64_t>(i / 3));
    for (const int64_t position : recorder.seen[i].committed)
      CHECK((position - 3) / 8 == static_cast<int64_t>(i / 3));
  }
  CHECK(recorder.seen[0].candidates == 8);  // the head ran on the block's masks alone
  CHECK(recorder.seen[1].candidates == 5);
}

/// Logits of a row at one position, through the plain forward.
at::Tensor logits_at(const Model& model, const TokenIds& ids, Span valid, int64_t position, Window window) {
  const at::Tensor row = at::tensor(ids, at::kLong).unsqueeze(0);
  const at::Tensor hidden =
      model.transformer.hidden({.ids_BT = row, .valid = {valid}, .mode = AttentionMode::kHard});
  return model.transformer.logits(hidden[0].narrow(0, position, 1), window)[0].to(at::kDouble);
}

TEST_CASE("guided text takes u + (s + 1)(c - u) with the prompt masked in u") {
  const int64_t mask = tiny::layout().mask;
  int64_t changed = 0;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    const Model model = tiny::random_model(seed);
    const TextOptions options{
        .gen_length = 1, .block_length = 1, .steps = 1, .cfg_scale = 2.5, .early_stop = false};
    const TextAnswer answer = Generator(model).run(TextRequest{{50, 3, 4}, options});
    const Window text = model.layout.text_window();
    const at::Tensor c = logits_at(model, {50, 3, 4, mask}, {0, 4}, 3, text);
    at::Tensor mixed = logits_at(model, {mask, mask, mask, mask}, {0, 4}, 3, text);
    mixed = mixed + 3.5 * (c - mixed);
    mixed[mask].fill_(-1e30);
    CHECK(answer.new_ids.front() == mixed.argmax().item().toLong());
    changed += mixed.argmax().item().toLong() != c.argmax().item().toLong();
  }
  CHECK(changed > 0);
}

TEST_CASE("guided images take (1 + g) c - g u with the empty caption's prefix in u") {
  const Model model = tiny::random_model(5);
  const TokenLayout& layout = model.layout;
  const CodeGrid one{1, 1, {-1}};
  const ImageOptions options{.steps = 1, .guidance_scale = 2.0, .greedy = true};
  const Picture picture = Generator(model).run(ImageRequest{{3, 4, 5}, one, options});
  const int64_t p = layout.image_pad, m = layout.mask;
  const TokenIds conditional{p, p, p, layout.t2i, layout.bos, 3, 4, 5, layout.eos, layout.soi, m, layout.eoi};
  const TokenIds empty{p, p, p, p, p, p, layout.t2i, layout.bos, layout.eos, layout.soi, m, layout.eoi};
  const at::Tensor c = logits_at(model, conditional, {3, 12}, 10, layout.code_window());
  const at::Tensor u = logits_at(model, empty, {6, 12}, 10, layout.code_window());
  CHECK(picture.grid.codes.front() == (3.0 * c - 2.0 * u).argmax().item().toLong());
  CHECK(picture.ids.size() == conditional.size());
}

TEST_CASE("greedy generation ignores the seed, noisy generation does not") {
  const Generator generate(tiny::random_model(6));
  const auto text = [&](uint64_t seed, bool greedy) {
    return generate
        .run(TextRequest{{50, 3},
                         {.gen_length = 16,
                          .block_length = 16,
                          .steps = 16,
                          .temperature = 3.0,
                          .early_stop = false,
                          .greedy = greedy,
                          .seed = seed}})
        .ids;
  };
  const auto image = [&](uint64_t seed, bool greedy) {
    return generate.run(ImageRequest{{3}, {}, {.steps = 5, .greedy = greedy, .seed = seed}}).ids;
  };
  CHECK(text(1, true) == text(2, true));
  CHECK(text(1, false) != text(2, false));
  CHECK(text(1, false) == text(1, false));
  CHECK(image(1, true) == image(2, true));
  CHECK(image(1, false) != image(2, false));
}

TEST_CASE("a picture whose codes are all given costs no forward pass") {
  const Generator generate(tiny::random_model(6));
  const CodeGrid given{2, 2, {1, 2, 3, 4}};
  const Picture picture = generate.run(ImageRequest{{3}, given, {}});
  CHECK(picture.grid == given);
  CHECK(picture.nfe == 0);
}

TEST_CASE("logits_eos_inf never ends a text, confidence_eos_eot_inf ends it last") {
  std::vector<float> logits(100, 0.0f);
  logits[tiny::layout().eos] = 5.0f;
  logits[7] = 4.0f;
  const Generator generate(tiny::scripted_model(logits));
  const TextOptions options{.gen_length = 4, .block_length = 4, .steps = 4};
  TextOptions banned = options;
  banned.logits_eos_inf = true;
  CHECK(generate.run(TextRequest{{50}, options}).new_ids == TokenIds(4, tiny::layout().eos));
  CHECK(generate.run(TextRequest{{50}, banned}).new_ids == TokenIds(4, 7));
}

}  // namespace
}  // namespace mmada
