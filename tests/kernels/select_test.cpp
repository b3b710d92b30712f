// SPDX-License-Identifier: MIT
#include "kernels/select/select.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "mmada/core/rng.h"

using namespace mmada::kernels;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr SelectConfidence kConfidences[] = {SelectConfidence::kProbability, SelectConfidence::kMargin,
                                             SelectConfidence::kNegEntropy, SelectConfidence::kRandom};

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> confidence, logsumexp;
};

struct Problem {
  Problem(int64_t rows, int64_t columns, int32_t first_id = 0)
      : logits(rows * columns), uncond(rows * columns) {
    mmada::Rng rng(5, "select_test");
    for (float& x : logits) x = 3.0f * static_cast<float>(rng.normal());
    for (float& x : uncond) x = 3.0f * static_cast<float>(rng.normal());
    for (int64_t i = 0; i < rows; ++i) {
      positions.push_back(static_cast<uint32_t>(7 * i + 2));
      steps.push_back(3);
      streams.push_back(9);
    }
    params.rows = rows, params.columns = params.row_stride = columns, params.first_id = first_id;
    params.token_key = 0x123456789ABCDEFull;
    params.positions_N = positions.data(), params.steps_N = steps.data(), params.streams_N = streams.data();
  }
  Answer empty() const {
    const auto n = static_cast<size_t>(params.rows);
    return {std::vector<int32_t>(n, -1), std::vector<float>(n, NAN), std::vector<float>(n, NAN)};
  }
  SelectFinishParams outputs(Answer& answer, SelectConfidence confidence) const {
    SelectFinishParams f;
    f.rows = params.rows, f.confidence = confidence, f.random_key = 77;
    f.positions_N = params.positions_N, f.steps_N = params.steps_N, f.streams_N = params.streams_N;
    f.ids_N = answer.ids.data(), f.confidence_N = answer.confidence.data(),
    f.logsumexp_N = answer.logsumexp.data();
    return f;
  }
  /// The vocabulary in chunks of so many columns.
  Answer kernel(SelectConfidence confidence, int64_t chunk = 1 << 30) {
    const int64_t slots = (params.columns + chunk - 1) / chunk;
    std::vector<SelectState> states(params.rows * slots);
    for (int64_t slot = 0; slot < slots; ++slot) {
      SelectStatisticsParams p = params;
      const int64_t begin = slot * chunk;
      p.logits = logits.data() + begin;
      if (params.uncond != nullptr) p.uncond = uncond.data() + begin;
      p.columns = std::min(chunk, params.columns - begin);
      p.first_id = static_cast<int32_t>(params.first_id + begin);
      p.states = states.data(), p.slots = slots, p.first_slot = slot;
      REQUIRE(select_statistics(p, {}) == Status::kOk);
    }
    Answer answer = empty();
    SelectFinishParams finish = outputs(answer, confidence);
    finish.states = states.data(), finish.slots = slots;
    REQUIRE(select_finish(finish, {}) == Status::kOk);
    return answer;
  }
  Answer reference(SelectConfidence confidence) {
    Answer answer = empty();
    SelectStatisticsParams p = params;
    p.logits = logits.data();
    std::vector<double> scores(params.rows);
    select_ref(p, outputs(answer, confidence), scores.data());
    return answer;
  }
  void check(SelectConfidence confidence, int64_t chunk = 1 << 30) {
    const Answer got = kernel(confidence, chunk), expected = reference(confidence);
    CHECK(got.ids == expected.ids);
    for (size_t i = 0; i < got.ids.size(); ++i) {
      CHECK(got.confidence[i] == Approx(expected.confidence[i]).epsilon(3e-5).margin(1e-7));
      CHECK(got.logsumexp[i] == Approx(expected.logsumexp[i]).epsilon(1e-6).margin(1e-5));
    }
  }
  void ban(std::initializer_list<uint32_t> ids) {
    banned.assign((params.first_id + params.columns) / 32 + 1, 0);
    for (const uint32_t id : ids) banned[id / 32] |= 1u << id % 32;
    params.banned_bits = banned.data();
  }

  std::vector<float> logits, uncond;
  std::vector<uint32_t> positions, steps, streams, banned;
  SelectStatisticsParams params;
};

}  // namespace

TEST_CASE("choices and every confidence are the oracle's at any number of columns, whole or in chunks") {
  for (const int64_t columns : {1, 15, 16, 17, 33, 97, 1023, 1024, 1025, 9000})
    for (const SelectConfidence confidence : kConfidences) {
      Problem(3, columns, 5).check(confidence);
      Problem(3, columns, 5).check(confidence, 100);
    }
}

TEST_CASE("guidance in both forms and banned ids change choice and softmax") {
  for (const bool difference_form : {true, false})
    for (const SelectConfidence confidence : kConfidences) {
      Problem problem(4, 1500, 31);
      problem.params.uncond = problem.uncond.data();
      problem.params.guidance = 1.5f;
      problem.params.difference_form = true;  // the oracle has one form; both are the same number
      const Answer expected = problem.reference(confidence);
      problem.params.difference_form = difference_form;
      const Answer got = problem.kernel(confidence);
      CHECK(got.ids == expected.ids);
      for (size_t i = 0; i < got.ids.size(); ++i)
        CHECK(got.confidence[i] == Approx(expected.confidence[i]).epsilon(1e-4));
    }
  Problem problem(2, 1500, 31);
  const Answer free = problem.kernel(SelectConfidence::kProbability);
  problem.ban({static_cast<uint32_t>(free.ids[0]), static_cast<uint32_t>(free.ids[1]), 31, 32, 1530});
  problem.check(SelectConfidence::kProbability);
  CHECK(problem.kernel(SelectConfidence::kProbability).ids[0] != free.ids[0]);
}

TEST_CASE("equal logits go to the lowest id, across lanes, segments and chunks") {
  Problem problem(1, 3000);
  std::fill(problem.logits.begin(), problem.logits.end(), 1.0f);
  for (const int64_t place : {2999, 1500, 1031, 7}) {
    problem.logits[place] = 2.0f;
    for (const int64_t chunk : {1 << 30, 100})
      CHECK(problem.kernel(SelectConfidence::kMargin, chunk).ids[0] == place);
  }
  CHECK(problem.kernel(SelectConfidence::kMargin).confidence[0] == 0.0f);  // the best has equals
}

TEST_CASE("noisy choices are the oracle's, alone or in chunks, and skipped noise changes none of them") {
  for (const float temperature : {0.05f, 0.7f, 3.0f})
    for (const int64_t chunk : {1 << 30, 1000, 33}) {
      Problem problem(20, 2100, 3);
      problem.params.temperature = temperature;
      problem.check(SelectConfidence::kProbability, chunk);
    }
}

TEST_CASE("rows of NaN, of -inf and with one NaN have no choice; -inf beside numbers is no harm") {
  Problem problem(4, 40);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(problem.logits.begin(), 40, nan);
  std::fill_n(problem.logits.begin() + 40, 40, -kInfinity);
  problem.logits[80 + 21] = nan;
  std::fill_n(problem.logits.begin() + 120, 39, -kInfinity);
  for (const SelectConfidence confidence : kConfidences) {
    const Answer answer = problem.kernel(confidence);
    for (int i = 0; i < 3; ++i) {
      CHECK(answer.ids[i] == std::numeric_limits<int32_t>::max());
      CHECK(std::isnan(answer.confidence[i]));
    }
    CHECK(answer.ids[3] == 39);
  }
  CHECK(problem.kernel(SelectConfidence::kProbability).confidence[3] == 1.0f);
  CHECK(problem.kernel(SelectConfidence::kMargin).confidence[3] == 1.0f);
  CHECK(problem.kernel(SelectConfidence::kNegEntropy).confidence[3] == Approx(0.0f).margin(1e-6));
}

TEST_CASE("bf16 logits are the same logits, rounded") {
  Problem problem(3, 1030, 9);
  std::vector<BFloat16> narrow(problem.logits.size());
  for (size_t i = 0; i < narrow.size(); ++i) {
    from_float(problem.logits[i], narrow[i]);
    problem.logits[i] = to_float(narrow[i]);
  }
  SelectStatisticsParams p = problem.params;
  std::vector<SelectState> wide(3), states(3);
  p.slots = 1;
  p.logits = problem.logits.data(), p.states = wide.data();
  REQUIRE(select_statistics(p, {}) == Status::kOk);
  p.type = FloatType::kBF16, p.logits = narrow.data(), p.states = states.data();
  REQUIRE(select_statistics(p, {}) == Status::kOk);
  for (int i = 0; i < 3; ++i) {
    CHECK(states[i].id == wide[i].id);
    CHECK(states[i].sum == wide[i].sum);
  }
}

TEST_CASE("sizes that contradict each other and types without a kernel are refused") {
  Problem problem(2, 10);
  std::vector<SelectState> states(2);
  SelectStatisticsParams p = problem.params;
  p.logits = problem.logits.data(), p.states = states.data(), p.slots = 1;
  const auto status = [&](auto change) {
    SelectStatisticsParams changed = p;
    change(changed);
    return select_statistics(changed, {});
  };
  CHECK(status([](auto& q) { q.columns = 0; }) == Status::kInvalid);
  CHECK(status([](auto& q) { q.first_slot = 1; }) == Status::kInvalid);
  CHECK(status([](auto& q) { q.temperature = NAN; }) == Status::kInvalid);
  CHECK(status([](auto& q) { q.first_id = std::numeric_limits<int32_t>::max() - 9; }) ==
        Status::kUnsupported);
  CHECK(status([](auto& q) { q.type = FloatType::kF16; }) == Status::kUnsupported);
  CHECK(status([](auto& q) { q.rows = 0; }) == Status::kOk);
}
