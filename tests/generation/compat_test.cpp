// SPDX-License-Identifier: MIT
// Every row of SPEC 10 that concerns generation, in both presets.
#include "mmada/generation/compat.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/generation/denoise.h"
#include "mmada/generation/image_canvas.h"
#include "mmada/generation/text_canvas.h"
#include "tests/generation/tiny.h"

namespace mmada {
namespace {

const Compat kFixed = Compat::fixed(), kReference = Compat::reference();

MaskGitRule maskgit(const Compat& compat, const char* schedule = "cosine") {
  return MaskGitRule({.schedule = Schedule(schedule),
                      .temperature = 1.0,
                      .compounding_temperature = compat.compounding_temperature,
                      .single_precision_schedule = compat.single_precision_schedule});
}

/// Counts of committed positions, step by step.
struct Counter : Observer {
  std::vector<int64_t> committed;
  std::vector<double> confidence;
  void on_step(const StepEvent& e) override {
    committed.push_back(static_cast<int64_t>(e.committed.size()));
    confidence.insert(confidence.end(), e.confidence.begin(), e.confidence.end());
  }
};

TEST_CASE("presets are found by name") {
  CHECK(Compat::from_name("fixed") == kFixed);
  CHECK(Compat::from_name("reference") == kReference);
  CHECK_THROWS_AS(Compat::from_name("old"), UsageError);
}

TEST_CASE("t2i temperature: reference compounds 0.8, 0.48, 0.192, fixed falls linearly") {
  const double expected_fixed[] = {0.8, 0.6, 0.4, 0.2, 0.0},
               expected_reference[] = {0.8, 0.48, 0.192, 0.0384, 0.0};
  for (int64_t step = 0; step < 5; ++step) {
    CHECK(maskgit(kFixed).temperature(step, 5) == Approx(expected_fixed[step]).margin(1e-12));
    CHECK(maskgit(kReference).temperature(step, 5) == Approx(expected_reference[step]).margin(1e-12));
  }
}

TEST_CASE("t2i schedule: reference rounds it to fp32, so that floor(1024 cos(pi/3)) loses one") {
  CHECK(maskgit(kFixed).scheduled(7, 12, 1024) == 512);
  CHECK(maskgit(kReference).scheduled(7, 12, 1024) == 511);
  for (const char* schedule : {"linear", "sigmoid", "pow2"})
    CHECK(std::abs(maskgit(kFixed, schedule).scheduled(3, 9, 64) -
                   maskgit(kReference, schedule).scheduled(3, 9, 64)) <= 1);
}

TEST_CASE("t2i mask count: reference counts from all slots, fixed from those unknown at the start") {
  const Model model = tiny::random_model(1);
  CodeGrid half{4, 4, {}};
  for (int64_t i = 0; i < 16; ++i) half.codes.push_back(i < 8 ? i : -1);
  const auto counts = [&](const Compat& compat) {
    Counter counter;
    Generator(model)
        .observed({&counter})
        .run(ImageRequest{{3}, half, {.steps = 4, .schedule = "linear", .greedy = true, .compat = compat}});
    return counter.committed;
  };
  CHECK(counts(kFixed) == std::vector<int64_t>{2, 2, 2, 2});
  // floor(16 m) = 12, 8, 4: the first two steps decode the least they can
  CHECK(counts(kReference) == std::vector<int64_t>{1, 1, 2, 4});
}

TEST_CASE("uncond prefix length: M + 1 in both presets, the callers' 513 by its own name") {
  const TokenLayout layout = tiny::layout();
  const auto paired_codes = [&](const Compat& compat) {
    const ImageCanvas image =
        image_canvas(layout, {3}, {-1, -1}, 8, {.guidance_scale = 1.0, .compat = compat}, at::kFloat);
    TokenIds ids = image.canvas.ids;
    ids[image.slots.begin] = layout.image_token_offset + 5;  // as if the first step had decided it
    const TokenIds paired = image.canvas.regions[0].guidance->paired_ids(ids);
    return TokenIds(paired.begin() + image.slots.begin, paired.begin() + image.slots.end);
  };
  Compat literal = kReference;
  literal.uncond_prefix_length = kPublishedUncondPrefix;
  CHECK(paired_codes(kFixed) == TokenIds{layout.image_token_offset + 5, layout.mask});
  CHECK(paired_codes(kReference) == TokenIds{layout.image_token_offset + 5, layout.mask});
  CHECK(paired_codes(literal) ==
        TokenIds{layout.mask, layout.mask});  // the stale, all-MASK image of SPEC 5.2, quirk 2
}

TEST_CASE("t2i sampling dtype: reference samples in the weights' bf16, fixed in fp32") {
  const Model model = tiny::random_model(1, at::kBFloat16);
  const auto coarse = [&](const Compat& compat) {
    Counter counter;
    Generator(model).observed({&counter}).run(ImageRequest{{3}, {}, {.steps = 2, .compat = compat}});
    return std::all_of(counter.confidence.begin(), counter.confidence.end(), [](double p) {
      return std::abs(static_cast<double>(static_cast<float>(c10::BFloat16(static_cast<float>(p)))) - p) <
             1e-6 * p;
    });
  };
  CHECK(coarse(kReference));
  CHECK_FALSE(coarse(kFixed));
}

TEST_CASE("ties at the cut: reference remasks fewer than k, fixed exactly k") {
  std::vector<float> logits(100, 0.0f);
  logits[70] = 3.0f;  // code 6 everywhere, with one confidence everywhere
  const auto counts = [&](const Compat& compat) {
    Counter counter;
    Generator(tiny::scripted_model(logits))
        .observed({&counter})
        .run(ImageRequest{{3}, {}, {.steps = 4, .schedule = "linear", .greedy = true, .compat = compat}});
    return counter.committed;
  };
  CHECK(counts(kFixed) == std::vector<int64_t>{4, 4, 4, 4});
  CHECK(counts(kReference) == std::vector<int64_t>{16});
}

TEST_CASE("text candidates: in reference MASKs of the prompt compete for the block's budget") {
  const int64_t mask = tiny::layout().mask;
  const TokenIds prompt{50, mask, 4, mask};
  const TextOptions options{.gen_length = 6, .block_length = 3, .steps = 6, .early_stop = false};
  TextOptions reference = options;
  reference.compat = kReference;
  const Generator generate(tiny::random_model(3));
  const TextAnswer fixed = generate.run(TextRequest{prompt, options});
  CHECK(TokenIds(fixed.ids.begin(), fixed.ids.begin() + 4) == prompt);
  CHECK(std::count(fixed.new_ids.begin(), fixed.new_ids.end(), mask) == 0);
  const TextAnswer all = generate.run(TextRequest{prompt, reference});
  // eight candidates, six commits: what the prompt took, the answer lacks
  CHECK(std::count(all.ids.begin(), all.ids.end(), mask) == 2);
}

TEST_CASE("foreign ids in text: reference may choose MASK and image codes, fixed cannot") {
  const TokenLayout layout = tiny::layout();
  std::vector<float> logits(100, 0.0f);
  logits[70] = 5.0f;
  logits[7] = 3.0f;
  const TextOptions options{.gen_length = 4, .block_length = 4, .steps = 4};
  TextOptions reference = options;
  reference.compat = kReference;
  CHECK(Generator(tiny::scripted_model(logits)).run(TextRequest{{50}, options}).new_ids == TokenIds(4, 7));
  CHECK(Generator(tiny::scripted_model(logits)).run(TextRequest{{50}, reference}).new_ids == TokenIds(4, 70));
  logits[layout.mask] = 9.0f;  // a transfer is spent on MASK: nothing is ever written
  CHECK(Generator(tiny::scripted_model(logits)).run(TextRequest{{50}, options}).new_ids == TokenIds(4, 7));
  CHECK(Generator(tiny::scripted_model(logits)).run(TextRequest{{50}, reference}).new_ids ==
        TokenIds(4, layout.mask));
}

/// A model that answers eos at every position of any row.
Generator ending_generator() {
  std::vector<float> logits(100, 0.0f);
  logits[tiny::layout().eos] = 5.0f;
  return Generator(tiny::scripted_model(logits));
}

TEST_CASE("early stop: fixed ends each row at its eos and fills the rest") {
  const TokenLayout layout = tiny::layout();
  const TextOptions options{.gen_length = 12, .block_length = 4, .steps = 12};
  const TextAnswer stopped = ending_generator().run(TextRequest{{50}, options});
  CHECK(stopped.new_ids == TokenIds(12, layout.eos));
  CHECK(stopped.nfe == 1);
  TextOptions all_steps = options;
  all_steps.early_stop = false;
  const TextAnswer complete = ending_generator().run(TextRequest{{50}, all_steps});
  CHECK(complete.new_ids == stopped.new_ids);
  CHECK(complete.nfe == 12);
}

TEST_CASE("early stop: fixed stops rows one by one") {
  TextOptions unending{.gen_length = 12, .block_length = 4, .steps = 12, .logits_eos_inf = true};
  const auto answers = ending_generator().batch(
      {TextRequest{{50}, {.gen_length = 12, .block_length = 4, .steps = 12}}, TextRequest{{50}, unending}});
  CHECK(std::get<TextAnswer>(answers[0]).nfe == 1);
  CHECK(std::get<TextAnswer>(answers[1]).nfe == 12);
}

TEST_CASE("early stop: reference ends all rows after a block whose last tokens are eos, and leaves MASKs") {
  const TokenLayout layout = tiny::layout();
  TextOptions options{.gen_length = 12, .block_length = 4, .steps = 12, .compat = kReference};
  TokenIds expected(4, layout.eos);
  expected.resize(12, layout.mask);
  const TextAnswer alone = ending_generator().run(TextRequest{{50}, options});
  CHECK(alone.new_ids == expected);
  CHECK(alone.nfe == 4);
  // with a neighbour that cannot end, the same row runs to its last step
  TextOptions unending = options;
  unending.logits_eos_inf = true;
  const auto answers = ending_generator().batch({TextRequest{{50}, options}, TextRequest{{50}, unending}});
  CHECK(std::get<TextAnswer>(answers[0]).nfe == 12);
  CHECK(std::get<TextAnswer>(answers[0]).new_ids == TokenIds(12, layout.eos));
}

TEST_CASE("stepwise decoding: the reference's growing mask breaks guidance at step 2, fixed keeps one mask") {
  const Generator generate(tiny::random_model(1));
  ImageOptions options{.steps = 3, .guidance_scale = 2.0, .stepwise = true};
  CHECK(generate.run(ImageRequest{{3}, {}, options}).nfe == 3);
  options.compat = kReference;
  CHECK_THROWS_WITH(generate.run(ImageRequest{{3}, {}, options}),
                    Catch::Contains("step 2") && Catch::Contains("3 rows"));
  options.guidance_scale = 0.0;
  CHECK(generate.run(ImageRequest{{3}, {}, options}).nfe == 3);
  options.guidance_scale = 2.0;
  options.stepwise = false;
  CHECK(generate.run(ImageRequest{{3}, {}, options}).nfe == 3);
}

TEST_CASE("attention mode of inference: hard in both presets, the other modes selectable and different") {
  CHECK(kFixed.attention == AttentionMode::kHard);
  CHECK(kReference.attention == AttentionMode::kHard);
  const Generator generate(tiny::random_model(2));
  const auto codes = [&](AttentionMode mode) {
    Compat compat = kFixed;
    compat.attention = mode;
    return generate.run(ImageRequest{{3}, {}, {.steps = 4, .greedy = true, .compat = compat}}).grid.codes;
  };
  CHECK(codes(AttentionMode::kHard) != codes(AttentionMode::kNone));
  CHECK(codes(AttentionMode::kAdditiveOne) != codes(AttentionMode::kNone));
}

TEST_CASE("guided text: reference passes no mask, fixed keeps the mode") {
  const TokenLayout layout = tiny::layout();
  TextOptions options{.gen_length = 4, .block_length = 4, .steps = 4, .cfg_scale = 1.0};
  CHECK(text_canvas(layout, {50}, options).attention == AttentionMode::kHard);
  options.compat = kReference;
  CHECK(text_canvas(layout, {50}, options).attention == AttentionMode::kNone);
  options.cfg_scale = 0.0;
  CHECK(text_canvas(layout, {50}, options).attention == AttentionMode::kHard);
}

TEST_CASE("turn terminator: plain <eot_id> in reference, the special token in fixed") {
  CHECK(caption_prompt("Why?", kFixed) ==
        "<|start_header_id|>user<|end_header_id|>\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|"
        ">\n");
  CHECK(caption_prompt("Why?", kReference) ==
        "<|start_header_id|>user<|end_header_id|>\nWhy?<eot_id><|start_header_id|>assistant<|end_header_id|>"
        "\n");
}

}  // namespace
}  // namespace mmada
