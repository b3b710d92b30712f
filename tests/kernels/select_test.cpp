// SPDX-License-Identifier: MIT
#include "select_problem.h"

#include <limits>

using namespace select_test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct OnCpu {
  using Element = float;
  static constexpr FloatType kType = FloatType::kF32;
  static float narrow(float x) { return x; }
  static float widen(float x) { return x; }
  static int64_t slots(const SelectStatisticsParams&) { return 1; }
  static Status statistics(const SelectStatisticsParams& p) { return select_statistics(p, {}); }
  static Status finish(const SelectFinishParams& p) { return select_finish(p, {}); }
};
struct OnCpuBf16 : OnCpu {
  using Element = BFloat16;
  static constexpr FloatType kType = FloatType::kBF16;
  static BFloat16 narrow(float x) {
    BFloat16 result;
    from_float(x, result);
    return result;
  }
  static float widen(BFloat16 x) { return to_float(x); }
};
using Cpu = Problem<OnCpu>;

}  // namespace

TEST_CASE("choices and every confidence are the oracle's at any number of columns, whole or in chunks") {
  for (const int64_t columns : {1, 15, 16, 17, 33, 97, 1023, 1024, 1025, 9000})
    for (const SelectConfidence confidence : kConfidences) {
      Cpu(3, columns, 5).check(confidence);
      Cpu(3, columns, 5).check(confidence, 100);
    }
}

TEST_CASE("guidance in both forms and banned ids change choice and softmax") {
  for (const bool difference_form : {true, false})
    for (const SelectConfidence confidence : kConfidences) {
      Cpu problem(4, 1500, 31);
      problem.guide(1.5f);
      problem.params.difference_form = true;  // the oracle has one form; both are the same number
      const Answer expected = problem.reference(confidence);
      problem.params.difference_form = difference_form;
      const Answer got = problem.kernel(confidence);
      CHECK(got.ids == expected.ids);
      for (size_t i = 0; i < got.ids.size(); ++i)
        CHECK(got.confidence[i] == Approx(expected.confidence[i]).epsilon(1e-4));
    }
  Cpu problem(2, 1500, 31);
  const Answer free = problem.kernel(SelectConfidence::kProbability);
  problem.ban({static_cast<uint32_t>(free.ids[0]), static_cast<uint32_t>(free.ids[1]), 31, 32, 1530});
  problem.check(SelectConfidence::kProbability);
  CHECK(problem.kernel(SelectConfidence::kProbability).ids[0] != free.ids[0]);
}

TEST_CASE("any id can be banned, wherever the columns begin") {
  for (const int32_t first_id : {0, 5, 31, 44})
    for (uint32_t column = 0; column < 40; ++column) {
      Cpu problem(1, 40, first_id);
      problem.set(0, column, 20.0f);
      problem.ban({static_cast<uint32_t>(first_id) + column});
      problem.check(SelectConfidence::kProbability);
    }
}

TEST_CASE("equal logits go to the lowest id, across lanes, segments and chunks") {
  Cpu problem(1, 3000);
  for (int64_t i = 0; i < 3000; ++i) problem.set(0, i, 1.0f);
  for (const int64_t place : {2999, 1500, 1031, 7}) {
    problem.set(0, place, 2.0f);
    for (const int64_t chunk : {1 << 30, 100})
      CHECK(problem.kernel(SelectConfidence::kMargin, chunk).ids[0] == place);
  }
  CHECK(problem.kernel(SelectConfidence::kMargin).confidence[0] == 0.0f);  // the best has equals
}

TEST_CASE("noisy choices are the oracle's, alone or in chunks, and skipped noise changes none of them") {
  for (const float temperature : {0.05f, 0.7f, 3.0f})
    for (const int64_t chunk : {1 << 30, 1000, 33}) {
      Cpu problem(20, 2100, 3);
      problem.params.temperature = temperature;
      problem.check(SelectConfidence::kProbability, chunk);
    }
}

TEST_CASE("rows of NaN, of -inf and with one NaN have no choice, -inf beside numbers is no harm") {
  Cpu problem(4, 40);
  for (int64_t i = 0; i < 40; ++i) problem.set(0, i, NAN), problem.set(1, i, -kInfinity);
  problem.set(2, 21, NAN);
  for (int64_t i = 0; i < 39; ++i) problem.set(3, i, -kInfinity);
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

TEST_CASE("columns at -inf in both guided rows are no harm") { check_hidden_guidance<Cpu>(); }

TEST_CASE("another seed is another number at the same address") { check_keys_are_read_in_place<Cpu>(); }

TEST_CASE("an id that wins by rare noise is found") { check_rare_noise<Cpu>(); }

TEST_CASE("a stretch of NaN takes the row's choice, wherever it lies") {
  for (const int64_t begin : {0, 1024, 2048}) {
    Cpu problem(1, 3072);
    for (int64_t i = begin; i < begin + 1024; ++i) problem.set(0, i, NAN);
    CHECK(problem.kernel().ids[0] == std::numeric_limits<int32_t>::max());
  }
}

TEST_CASE("bf16 logits are chosen from like the oracle, which reads them rounded") {
  for (const SelectConfidence confidence : kConfidences)
    for (const int64_t columns : {33, 1030}) {
      Problem<OnCpuBf16> problem(3, columns, 9, 1200);
      problem.guide(0.5f);
      problem.check(confidence);
      problem.params.temperature = 0.7f;
      problem.check(confidence, 500);
    }
}

TEST_CASE("sizes that contradict each other and types without a kernel are refused") {
  Cpu problem(2, 10);
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
  CHECK(status([](auto& q) { q.temperature = 1.0f, q.token_key = nullptr; }) == Status::kInvalid);
  CHECK(status([](auto& q) { q.first_id = std::numeric_limits<int32_t>::max() - 12; }) ==
        Status::kUnsupported);
  CHECK(status([](auto& q) { q.type = FloatType::kF16; }) == Status::kUnsupported);
  CHECK(status([](auto& q) { q.rows = 0; }) == Status::kOk);
}
