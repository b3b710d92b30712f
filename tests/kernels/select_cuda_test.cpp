// SPDX-License-Identifier: MIT
#include "operand.h"
#include "select_problem.h"
#include "sparse.h"

using namespace emulation;
using namespace select_test;
using mmada::simt::Schedule;

namespace {

constexpr Way kWay = {Schedule::kReverse, true};

template <class T>
struct OnCuda {
  using Element = T;
  static constexpr FloatType kType = float_type<T>();
  static T narrow(float x) { return emulation::narrow<T>(x); }
  static float widen(T x) { return emulation::widen(x); }
  static int64_t slots(const SelectStatisticsParams& p) { return select_slots(p); }
  static Status statistics(const SelectStatisticsParams& p) {
    return finished(select_statistics_cuda(p, {}));
  }
  static Status finish(const SelectFinishParams& p) { return finished(select_finish_cuda(p, {})); }
};

template <class T>
struct Emulated : Problem<OnCuda<T>> {
  using Problem<OnCuda<T>>::Problem;
  Answer emulated(Way way, SelectConfidence confidence = SelectConfidence::kProbability,
                  int64_t chunk = kWhole) {
    use(way);
    return this->kernel(confidence, chunk);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("without temperature the choice is the oracle's, every confidence and type", "", float,
                   __nv_bfloat16, __half) {
  for (const int64_t columns : {1, 33, 97, 1025, 9000})
    for (const SelectConfidence confidence : kConfidences)
      Emulated<TestType>(3, columns, 0).check(confidence);
}

TEST_CASE("any number of rows is chosen from") {
  std::vector<int64_t> counts = {1, 33, 97, 1025};
  if (full()) counts = {1, 2, 31, 32, 33, 97, 255, 256, 257, 1024, 1025, 2049};
  for (const int64_t rows : counts)
    Emulated<__nv_bfloat16>(rows, 70, 3).check(SelectConfidence::kProbability);
  if (full())
    for (const int64_t columns : {126464, 134656})
      Emulated<__half>(2, columns).check(SelectConfidence::kNegEntropy);
}

TEST_CASE("columns that begin anywhere in the vocabulary and in memory are read right", "[tiny]") {
  std::vector<int32_t> first_ids = {3, 0, 1, 2, 126};
  if (mmada::simt::thread_sanitizer()) first_ids.resize(1);
  for (const int32_t first_id : first_ids)
    for (const int64_t stride : {0, 103}) {
      Emulated<__nv_bfloat16> problem(2, 97, first_id, stride);
      problem.check(SelectConfidence::kProbability);
      problem.params.temperature = 0.7f;
      const Answer got = problem.emulated({Schedule::kGreedy, true});
      CHECK(got.ids == problem.reference().ids);
    }
}

TEST_CASE("equal logits go to the lowest id, in one chunk or several") {
  Emulated<__nv_bfloat16> problem(1, 1100);
  for (const int64_t column : {900, 77, 76, 450}) problem.set(0, column, 40.0f);
  for (const Way way : all_ways()) CHECK(problem.emulated(way).ids[0] == 76);
  CHECK(problem.emulated({Schedule::kReverse, true}, SelectConfidence::kProbability, 70).ids[0] == 76);
}

TEST_CASE("banned ids are as if their logits were -inf") {
  Emulated<float> problem(2, 200, 30);
  const Answer free = problem.reference();
  problem.ban({static_cast<uint32_t>(free.ids[0]), static_cast<uint32_t>(free.ids[1]), 30, 229});
  CHECK(problem.reference().ids != free.ids);
  for (const SelectConfidence confidence : kConfidences) problem.check(confidence);
  problem.params.temperature = 1.0f;
  problem.check(SelectConfidence::kRandom);
}

TEST_CASE("a row of nothing but -inf, or with a NaN, has no choice and harms no other") {
  Emulated<float> problem(3, 130);
  const Answer before = problem.emulated({Schedule::kGreedy, true});
  for (int64_t i = 0; i < 130; ++i) problem.set(0, i, -INFINITY);
  problem.set(2, 129, NAN);
  for (const float temperature : {0.0f, 1.0f}) {
    problem.params.temperature = temperature;
    const Answer after = problem.emulated({Schedule::kGreedy, true});
    CHECK(after.ids[0] == INT32_MAX);
    CHECK(after.ids[2] == INT32_MAX);
    CHECK((std::isnan(after.confidence[0]) && std::isnan(after.confidence[2])));
    if (temperature == 0) CHECK(after.ids[1] == before.ids[1]);
  }
}

TEST_CASE("with a temperature the choice has the best noisy score, whatever the chunks and the batch") {
  Emulated<__nv_bfloat16> problem(4, 9000, 5);
  problem.params.temperature = 0.8f;
  const Answer whole = problem.emulated({Schedule::kShuffled, true}), exact = problem.reference();
  CHECK(whole.ids == exact.ids);  // fp32 noise: these seeds have no near ties
  CHECK(error(whole.confidence, exact.confidence) < 2e-5);
  CHECK(problem.emulated({Schedule::kGreedy, true}, SelectConfidence::kProbability, 1000).ids == whole.ids);
  Emulated<__nv_bfloat16> alone(1, 9000, 5);
  for (int64_t i = 0; i < 9000; ++i) alone.set(0, i, problem.wide[2 * 9000 + i]);
  alone.params.temperature = 0.8f;
  alone.positions[0] = problem.positions[2];
  CHECK(alone.emulated({Schedule::kFair, true}).ids[0] == whole.ids[2]);
  alone.steps[0] += 1;
  CHECK(alone.emulated({Schedule::kFair, true}).ids[0] != whole.ids[2]);
}

TEST_CASE("choices at temperature one follow the softmax") {
  constexpr int64_t kRows = 2000;
  Emulated<float> problem(kRows, 4);
  const float logits[4] = {0.0f, 1.0f, -1.0f, 0.5f};
  double total = 0;
  for (const float x : logits) total += std::exp(x);
  for (int64_t n = 0; n < kRows; ++n)
    for (int64_t i = 0; i < 4; ++i) problem.set(n, i, logits[i]);
  problem.params.temperature = 1.0f;
  const Answer answer = problem.emulated({Schedule::kFair, true});
  double chi_square = 0;
  for (int32_t i = 0; i < 4; ++i) {
    const double expected = kRows * std::exp(logits[i]) / total;
    const auto seen = static_cast<double>(std::count(answer.ids.begin(), answer.ids.end(), i));
    chi_square += (seen - expected) * (seen - expected) / expected;
  }
  CHECK(chi_square < 16.3);  // 0.999 of the distribution with 3 degrees of freedom; the seed is fixed
}

TEST_CASE("guidance mixes the two rows in fp32 before everything else") {
  Emulated<__half> problem(3, 300);
  problem.guide(1.5f);
  const Answer exact = problem.reference();
  for (const bool difference_form : {true, false}) {
    problem.params.difference_form = difference_form;
    problem.check(SelectConfidence::kNegEntropy);
  }
  problem.params.guidance = 0.0f;
  CHECK(problem.reference().confidence != exact.confidence);
}

TEST_CASE("columns at -inf in both guided rows are no harm") {
  check_hidden_guidance<Emulated<__nv_bfloat16>>();
}

TEST_CASE("another seed is another number at the same address", "[tiny]") {
  check_keys_are_read_in_place<Emulated<float>>();
}

TEST_CASE("an id that wins by rare noise is found") { check_rare_noise<Emulated<float>>(); }

TEST_CASE("a banned id is banned wherever the columns begin", "[tiny]") {
  for (const int32_t first_id : {0, 5, 44}) {
    Emulated<float> problem(1, 90, first_id);
    const auto best = static_cast<uint32_t>(problem.emulated({Schedule::kFair, true}).ids[0]);
    REQUIRE(best - static_cast<uint32_t>(first_id) < 90u);
    problem.ban({best});
    problem.check(SelectConfidence::kProbability);
  }
}

TEST_CASE("choices are the same bits under every schedule", "[tiny]") {
  Emulated<__nv_bfloat16> problem(2, 9000);
  if (mmada::simt::thread_sanitizer()) problem.params.columns = 1100;
  problem.params.temperature = 0.5f;
  const Answer first = problem.emulated({Schedule::kFair, true}, SelectConfidence::kNegEntropy);
  for (const Way way : all_ways()) CHECK(problem.emulated(way, SelectConfidence::kNegEntropy) == first);
}

TEST_CASE("contradictory windows and slots are refused") {
  SelectStatisticsParams p;
  p.rows = 1, p.columns = 8, p.slots = 1;
  mmada::simt::reset_statistics();
  const auto refused = [&](auto change) {
    SelectStatisticsParams changed = p;
    change(changed);
    return select_statistics_cuda(changed, {});
  };
  CHECK(refused([](auto& c) { c.rows = 0; }) == Status::kOk);
  CHECK(refused([](auto& c) { c.columns = 0; }) == Status::kInvalid);
  CHECK(refused([](auto& c) { c.first_id = -1; }) == Status::kInvalid);
  CHECK(refused([](auto& c) { c.first_slot = 1; }) == Status::kInvalid);
  CHECK(refused([](auto& c) { c.temperature = NAN; }) == Status::kInvalid);
  CHECK(refused([](auto& c) { c.temperature = 1.0f; }) == Status::kInvalid);  // no key, no positions
  CHECK(refused([](auto& c) { c.first_id = INT32_MAX - 8; }) == Status::kUnsupported);
  CHECK(select_finish_cuda({}, {}) == Status::kInvalid);
  CHECK(mmada::simt::statistics().launches == 0);
}

TEST_CASE("rows that begin beyond 2^31 elements are read right") {
  if (on_device()) return;
  constexpr int64_t kStride = kBeyond + 3, kColumns = 97;
  Emulated<__half> far(2, kColumns), alone(1, kColumns);
  far.guide(0.5f), alone.guide(0.5f);
  Sparse<__half> logits(kStride + kColumns), uncond(kStride + kColumns);
  std::copy_n(alone.logits.data(), kColumns, logits.data() + kStride);
  std::copy_n(alone.uncond.data(), kColumns, uncond.data() + kStride);
  SelectStatisticsParams p = far.params;
  Shared<SelectState> states(2);
  p.logits = logits.data(), p.uncond = uncond.data(), p.row_stride = kStride, p.type = FloatType::kF16;
  p.states = states.data(), p.slots = 1;
  use(kWay);
  REQUIRE(OnCuda<__half>::statistics(p) == Status::kOk);
  CHECK(states[0].id == 0);  // all equal
  CHECK(states[1].id == alone.reference().ids[0]);
}
