// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include <catch2/catch.hpp>

#include "mmada/trainer/condition_gate.h"
#include "tests/support/tiny_model.h"

namespace {

using namespace mmada;

/// Ids of the golden checkpoint's vocabulary: words below 340, specials, mask 380, eos 381, codes from 384.
RowSettings settings(AttentionMode mode = AttentionMode::kHard) {
  RowSettings s;
  s.layout.vocab_size = 512, s.layout.bos = 350, s.layout.eos = 381, s.layout.mask = 380;
  s.layout.soi = 351, s.layout.eoi = 352, s.layout.t2i = 353, s.layout.mmu = 354, s.layout.r2i = 355;
  s.layout.image_pad = 356, s.layout.start_header = 357, s.layout.end_header = 358, s.layout.eot = 359;
  s.layout.image_token_offset = 384, s.layout.codebook_size = 128;
  s.text_budget = 16, s.image_tokens = 16, s.attention_mode = mode, s.seed = 5;
  return s;
}

FlowConfig flow(FlowKind kind, int64_t rows, int64_t length = 0) {
  FlowConfig config;
  config.kind = kind, config.name = std::string(flow_kind_name(kind)), config.rows = rows,
  config.length = length;
  config.coefficient = 1.0 + 0.5 * static_cast<double>(kind);
  return config;
}

std::vector<EncodedSample> samples(int64_t count) {
  std::vector<EncodedSample> made;
  for (int64_t i = 0; i < count; ++i) {
    EncodedSample sample;
    for (int64_t j = 0; j < 3 + i % 4; ++j) sample.text.push_back(10 + 7 * i + j);
    sample.text.insert(sample.text.begin() + 2, 358);
    for (int64_t j = 0; j < 16; ++j) sample.image.push_back(384 + (5 * i + 11 * j) % 128);
    made.push_back(sample);
  }
  return made;
}

std::vector<NoisedRow> noised(const RowSettings& s, const FlowConfig& config, int64_t step,
                              const std::vector<EncodedSample>& made) {
  return noise_rows(s, config, step, made, {.begin = 0, .total = static_cast<int64_t>(made.size())});
}

std::vector<FlowBatch> batches(const RowSettings& s, const std::vector<FlowConfig>& flows,
                               int64_t micro_batches) {
  std::vector<FlowBatch> made;
  for (const FlowConfig& config : flows) {
    FlowBatch batch{
        .flow = &config, .rows = noised(s, config, 3, samples(config.rows * micro_batches)), .targets = {}};
    batch.targets =
        flow_targets(config.kind, batch.rows, flow_totals(config.kind, batch.rows, s.compat), s.compat);
    made.push_back(std::move(batch));
  }
  return made;
}

double total(const RowSettings& s, const std::vector<FlowBatch>& made, int64_t micro_batches) {
  static const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (int64_t i = 0; i < micro_batches; ++i)
    sum += weighted_losses(model, make_groups(s, made, i, micro_batches)).total.item<double>();
  return sum;
}

}  // namespace

TEST_CASE("cutting a step into micro-batches leaves its loss as it is") {
  const RowSettings s = settings();
  const std::vector<FlowConfig> flows = {flow(FlowKind::kT2i, 8), flow(FlowKind::kMmu, 4),
                                         flow(FlowKind::kLmChat, 4, 20)};
  const std::vector<FlowBatch> made = batches(s, flows, 1);
  const double whole = total(s, made, 1);
  CHECK(total(s, made, 2) == Approx(whole).epsilon(1e-5));
  CHECK(total(s, made, 4) == Approx(whole).epsilon(1e-5));
}

TEST_CASE("left padding that attention cannot see is cut off without changing the loss") {
  const RowSettings s = settings();
  const std::vector<FlowConfig> flows = {flow(FlowKind::kT2i, 5)};
  const std::vector<FlowBatch> made = batches(s, flows, 1);
  const std::vector<RowGroup> cut = make_groups(s, made, 0, 1);
  REQUIRE(cut.size() == 1);
  CHECK(cut[0].rows.ids_BT.size(1) < 35);
  // the same rows at full length, in the same order
  RowGroup full{.rows = {.ids_BT = {}, .valid = {}, .mode = s.attention_mode}, .targets = {}};
  std::vector<int64_t> ids;
  for (const NoisedRow& row : made[0].rows) {
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    full.rows.valid.push_back(row.valid);
  }
  full.rows.ids_BT = at::tensor(ids, at::kLong).reshape({5, 35});
  full.targets.push_back(join_targets(made[0].targets, 0, 35, s.layout.code_window(), "t2i"));
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  const at::NoGradGuard no_grad;
  CHECK(weighted_losses(model, cut).total.item<double>() ==
        Approx(weighted_losses(model, {full}).total.item<double>()).epsilon(1e-5));
}

TEST_CASE("packed rows have the losses and gradients of rows whose padding is hidden and not predicted") {
  RowSettings padded = settings(), packed = settings();
  const std::vector<FlowConfig> flows = {flow(FlowKind::kT2i, 5), flow(FlowKind::kMmu, 4),
                                         flow(FlowKind::kLmChat, 4, 24), flow(FlowKind::kR2i, 3)};
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  for (const NamedParameter& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
  const auto trained = [&](const RowSettings& s, std::vector<RowGroup>* groups) {
    for (const NamedParameter& parameter : model.parameters()) parameter.tensor.mutable_grad().reset();
    *groups = make_groups(s, batches(s, flows, 1), 0, 1);
    Losses losses = weighted_losses(model, *groups);
    losses.total.backward();
    std::ranges::sort(losses.parts, {}, &LossPart::flow);
    std::vector<at::Tensor> found;
    for (const LossPart& part : losses.parts) found.push_back(part.loss.to(at::kDouble));
    for (const NamedParameter& parameter : model.parameters())
      found.push_back(parameter.tensor.grad().to(at::kDouble).clone());
    return found;
  };
  for (const int64_t tail : {0, 2, -1}) {
    padded.supervised_eos_tail = packed.supervised_eos_tail = tail, packed.packed = true;
    std::vector<RowGroup> rectangles, one;
    const auto expected = trained(padded, &rectangles), found = trained(packed, &one);
    REQUIRE(one.size() == 1);
    CHECK(one[0].rows.offsets.size() == 17);
    int64_t tokens = 0;
    for (const RowGroup& group : rectangles) tokens += group.rows.ids_BT.numel();
    CHECK(one[0].rows.ids_BT.numel() < tokens);
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const double scale = expected[i].abs().max().item<double>();
      CHECK((found[i] - expected[i]).abs().max().item<double>() <= 1e-5 * scale);
    }
  }
}

TEST_CASE("the padding that is left out is neither attended to nor predicted") {
  RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 20);
  chat.text_noise.floor = 1.0;
  const std::vector<FlowConfig> flows = {chat};
  EncodedSample sample;
  sample.text = {10, 11, 358, 20, 21};
  for (const auto& [tail, answer] : {std::pair<int64_t, int64_t>{0, 3}, {4, 7}, {-1, 16}}) {
    s.supervised_eos_tail = tail;
    const NoisedRow row = noised(s, chat, 3, {sample}).front();
    CHECK(std::ssize(row.predicted) == answer);
    CHECK(row.answer_length == answer);
    FlowBatch batch{.flow = &chat, .rows = {row}, .targets = {}};
    batch.targets = flow_targets(chat.kind, batch.rows, flow_totals(chat.kind, batch.rows));
    const std::vector<RowGroup> groups = make_groups(s, {batch}, 0, 1);
    CHECK(groups[0].rows.ids_BT.size(1) == 20);
    CHECK(groups[0].rows.valid[0] == Span{0, 4 + answer});
  }
}

TEST_CASE("where padding is seen nothing is cut, and all rows of one length share a forward") {
  const RowSettings s = settings(AttentionMode::kNone);
  const std::vector<FlowConfig> flows = {flow(FlowKind::kT2i, 2), flow(FlowKind::kLm, 2),
                                         flow(FlowKind::kMmu, 1)};
  const std::vector<RowGroup> groups = make_groups(s, batches(s, flows, 1), 0, 1);
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].rows.ids_BT.sizes() == at::IntArrayRef{5, 35});
  CHECK(groups[0].targets.size() == 3);
}

TEST_CASE("rows of a step depend on the flow's name, not on the other flows") {
  const RowSettings s = settings();
  const std::vector<FlowConfig> one = {flow(FlowKind::kMmu, 4)};
  const std::vector<FlowConfig> two = {flow(FlowKind::kT2i, 4), flow(FlowKind::kMmu, 4)};
  const auto alone = batches(s, one, 1), together = batches(s, two, 1);
  for (size_t i = 0; i < 4; ++i) CHECK(alone[0].rows[i].ids == together[1].rows[i].ids);
}

TEST_CASE("any part of a step's rows can be made alone") {
  const RowSettings s = settings();
  FlowConfig t2i = flow(FlowKind::kT2i, 6);
  t2i.cond_dropout_prob = 0.5;
  const std::vector<EncodedSample> made = samples(6);
  const std::vector<NoisedRow> whole = noised(s, t2i, 3, made);
  const std::vector<NoisedRow> part =
      noise_rows(s, t2i, 3, {made.begin() + 2, made.begin() + 5}, {.begin = 2, .total = 6});
  REQUIRE(part.size() == 3);
  for (size_t i = 0; i < part.size(); ++i) CHECK(part[i].ids == whole[2 + i].ids);
  FlowTotals totals = flow_totals(t2i.kind, {whole.data(), 2});
  totals.targets += flow_totals(t2i.kind, {whole.data() + 2, 4}).targets;
  CHECK(totals.targets == flow_totals(t2i.kind, whole).targets);
}

TEST_CASE("dropped conditions leave the unconditional row, about as often as asked") {
  const RowSettings s = settings();
  FlowConfig t2i = flow(FlowKind::kT2i, 1);
  t2i.cond_dropout_prob = 0.25;
  int64_t dropped = 0;
  for (int64_t step = 0; step < 200; ++step)
    for (const NoisedRow& row : noised(s, t2i, step, samples(4)))
      dropped += row.clean[16] == s.layout.eos && row.clean[15] == s.layout.bos;
  CHECK(std::abs(dropped - 200) < 60);  // 5 standard deviations
}

TEST_CASE("given reasoning is never masked nor predicted, and the answer's loss is over what is left") {
  const RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 20);
  chat.text_noise.floor = 1.0;  // everything that may be masked is
  EncodedSample sample;
  sample.text = {10, 11, 358, 20, 21, 22, 23, 24, 25};  // 358 ends the header; 20 to 22 are the reasoning
  sample.reasoning_end = 6;
  const auto masks = [&](double probability) {
    chat.given_reasoning_prob = probability;
    return noised(s, chat, 3, {sample}).front();
  };
  const NoisedRow free = masks(0.0), given = masks(1.0);
  CHECK(free.predicted.front() == 4);  // bos stands before the text
  CHECK(given.predicted.front() == 7);
  CHECK(TokenIds(given.ids.begin() + 4, given.ids.begin() + 8) == TokenIds{20, 21, 22, s.layout.mask});
  CHECK(given.answer_length == free.answer_length - 3);
  sample.text.insert(sample.text.begin(), s.layout.bos), ++sample.reasoning_end;  // a bos of its own
  CHECK(masks(1.0).ids == given.ids);
  sample.reasoning_end = 0;  // nothing to give
  CHECK(masks(1.0).ids == free.ids);
}

TEST_CASE("reasoning is given about as often as asked") {
  const RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 20);
  chat.text_noise.floor = 1.0, chat.given_reasoning_prob = 0.25;
  std::vector<EncodedSample> made = samples(4);
  for (EncodedSample& sample : made)
    sample.text.insert(sample.text.end(), {30, 31}), sample.reasoning_end = 4;
  int64_t given = 0;
  for (int64_t step = 0; step < 200; ++step)
    for (const NoisedRow& row : noised(s, chat, step, made)) given += row.predicted.front() == 5;
  CHECK(std::abs(given - 200) < 60);  // 5 standard deviations
}

TEST_CASE("what a sample shows is never masked, without reasoning neither is the padding") {
  const RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 14);
  chat.text_noise.floor = 1.0;
  EncodedSample sample;
  sample.text = {10, 11, 358, 20, 21, 22, 23};
  sample.shown = {true, true, true, true, false, true, false};
  CHECK(noised(s, chat, 3, {sample}).front().predicted == std::vector<int64_t>{5, 7});
  sample.reasoning_end = 6;  // behind it everything may be masked: 23, eos and the padding
  CHECK(noised(s, chat, 3, {sample}).front().predicted == std::vector<int64_t>{5, 7, 8, 9, 10, 11, 12, 13});
}

TEST_CASE("unlearned words are masked like any other and have no loss") {
  const RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 10);
  chat.text_noise.floor = 1.0;
  EncodedSample sample;
  sample.text = {10, 11, 358, 20, 21, 22, 21};
  sample.unlearned = {21};
  const NoisedRow row = noised(s, chat, 3, {sample}).front();
  CHECK(row.predicted == std::vector<int64_t>{4, 6, 8, 9});
  CHECK(row.ids[5] == s.layout.mask);
  CHECK(row.ids[7] == s.layout.mask);
}

TEST_CASE("a row that is cut inside its reasoning stays as it is") {
  const RowSettings s = settings();
  FlowConfig chat = flow(FlowKind::kLmChat, 1, 6);
  chat.text_noise.floor = 1.0, chat.given_reasoning_prob = 1.0;
  EncodedSample sample;
  sample.text = {10, 11, 358, 20, 21, 22, 23, 24, 25};
  sample.reasoning_end = 6;
  CHECK(noised(s, chat, 3, {sample}).front().predicted.front() == 4);
}

TEST_CASE("a sample without the picture its task needs is an error that names the flow") {
  EncodedSample text;
  text.text = {10};
  CHECK_THROWS_WITH(make_row(settings(), flow(FlowKind::kT2i, 1), text, false), Catch::Contains("flow t2i"));
  CHECK(make_row(settings(), flow(FlowKind::kLm, 1), text, false).ids.size() == 35);
}

TEST_CASE("the condition gate compares everything masked under the own and under the next condition") {
  const RowSettings s = settings(AttentionMode::kNone);
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  const std::vector<EncodedSample> made = samples(5);
  const at::NoGradGuard no_grad;
  // one row at a time, from all logits: mean of -log p over the given span with all that is not prompt masked
  const auto plain = [&](FlowKind kind, size_t shift) {
    double sum = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < made.size(); ++i) {
      const EncodedSample& other = made[(i + shift) % made.size()];
      const bool draws = kind == FlowKind::kT2i;
      const Row row = draws ? t2i_row(s.layout, other.text, made[i].image, 16)
                            : mmu_row(s.layout, other.image, made[i].text, 16);
      TokenIds masked = row.ids;
      for (size_t j = 0; j < masked.size(); ++j)
        if (!row.prompt[j]) masked[j] = s.layout.mask;
      const at::Tensor hidden =
          model.hidden({.ids_BT = at::tensor(masked, at::kLong).unsqueeze(0), .valid = {}})[0];
      const Window window = draws ? s.layout.code_window() : s.layout.full_window();
      const at::Tensor logp = at::log_softmax(model.logits(hidden, window).to(at::kDouble), -1);
      const Span asked = draws ? row.image : row.text;
      for (int64_t j = asked.begin; j < asked.end; ++j) {
        if (row.prompt[j]) continue;
        sum -= logp[j][row.ids[j] - window.begin].item<double>();
        ++tokens;
      }
    }
    return sum / static_cast<double>(tokens);
  };
  for (const FlowKind kind : {FlowKind::kT2i, FlowKind::kMmu}) {
    const ConditionLoss found = condition_loss(model, s, flow(kind, 1), made, 2);
    CHECK(found.matched == Approx(plain(kind, 0)).epsilon(1e-5));
    CHECK(found.shuffled == Approx(plain(kind, 1)).epsilon(1e-5));
    CHECK(found.matched != Approx(found.shuffled).epsilon(1e-5));
  }
}
