// SPDX-License-Identifier: MIT
#include "kernels/select/select.h"

#include "operand.h"

using namespace mmada::kernels;
using namespace emulation;
using mmada::simt::Schedule;

namespace {

constexpr SelectConfidence kConfidences[] = {SelectConfidence::kProbability, SelectConfidence::kMargin,
                                             SelectConfidence::kNegEntropy, SelectConfidence::kRandom};

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> confidence, logsumexp;
  std::vector<double> scores;
  bool operator==(const Answer& other) const {
    return ids == other.ids && confidence == other.confidence && logsumexp == other.logsumexp;
  }
};

/// Logits of T, their noise streams, and what the kernels and the oracle choose.
template <class T>
struct Problem {
  Problem(int64_t n, int64_t columns, int32_t first_id = 0, int64_t row_stride = 0)
      : logits(static_cast<size_t>(n * std::max(columns, row_stride)), 1),
        positions(n),
        steps(n, 3),
        streams(n, 9) {
    for (int64_t i = 0; i < n; ++i) positions[i] = static_cast<uint32_t>(7 * i + 2);
    params.rows = n, params.columns = columns, params.row_stride = std::max(columns, row_stride);
    params.first_id = first_id, params.token_key = 0x123456789ABCDEFull;
    params.positions_N = positions.data(), params.steps_N = steps.data(), params.streams_N = streams.data();
  }
  /// The vocabulary in chunks of so many columns, merged at the end.
  Answer emulated(Way way, SelectConfidence confidence = SelectConfidence::kProbability,
                  int64_t chunk = 1 << 30) {
    use(way);
    std::vector<SelectStatisticsParams> parts;
    int64_t slots = 0;
    for (int64_t begin = 0; begin < params.columns; begin += chunk) {
      SelectStatisticsParams p = params;
      p.type = float_type<T>();
      p.logits = logits.data() + begin;
      if (params.uncond != nullptr) p.uncond = static_cast<const T*>(params.uncond) + begin;
      p.columns = std::min(chunk, params.columns - begin);
      p.first_id = static_cast<int32_t>(params.first_id + begin);
      p.first_slot = slots;
      slots += select_slots(p);
      parts.push_back(p);
    }
    std::vector<SelectState> states(params.rows * slots);
    for (SelectStatisticsParams& p : parts) {
      p.states = states.data(), p.slots = slots;
      REQUIRE(select_statistics_cuda(p, {}) == Status::kOk);
    }
    Answer answer = empty();
    SelectFinishParams finish = outputs(answer, confidence);
    finish.states = states.data(), finish.slots = slots;
    REQUIRE(select_finish_cuda(finish, {}) == Status::kOk);
    return answer;
  }
  Answer reference(SelectConfidence confidence = SelectConfidence::kProbability) {
    Answer answer = empty();
    SelectStatisticsParams p = params;
    p.logits = logits.wide.data();
    p.uncond = wide_uncond;
    select_ref(p, outputs(answer, confidence), answer.scores.data());
    return answer;
  }
  void ban(std::initializer_list<uint32_t> ids) {
    banned.assign((params.first_id + params.columns) / 32 + 1, 0);
    for (const uint32_t id : ids) banned[id / 32] |= 1u << id % 32;
    params.banned_bits = banned.data();
  }
  void set(int64_t n, int64_t column, float value) {
    const auto at = static_cast<size_t>(n * params.row_stride + column);
    logits.data()[at] = narrow<T>(value);
    logits.wide[at] = value;
  }
  /// Same ids where nothing is random, confidence and logsumexp to a few fp32 roundings.
  void check(SelectConfidence confidence, Way way = {Schedule::kReverse, true}) {
    const Answer got = emulated(way, confidence), expected = reference(confidence);
    if (params.temperature == 0) CHECK(got.ids == expected.ids);
    CHECK(error(got.confidence, expected.confidence) < 2e-5);
    CHECK(error(got.logsumexp, expected.logsumexp) < 2e-5);
  }

  Operand<T> logits;
  const float* wide_uncond = nullptr;
  std::vector<uint32_t> positions, steps, streams, banned;
  SelectStatisticsParams params;

 private:
  Answer empty() const {
    const auto n = static_cast<size_t>(params.rows);
    return {std::vector<int32_t>(n, -1), std::vector<float>(n, NAN), std::vector<float>(n, NAN),
            std::vector<double>(n)};
  }
  SelectFinishParams outputs(Answer& answer, SelectConfidence confidence) const {
    SelectFinishParams f;
    f.rows = params.rows, f.confidence = confidence, f.random_key = 77;
    f.positions_N = params.positions_N, f.steps_N = params.steps_N, f.streams_N = params.streams_N;
    f.ids_N = answer.ids.data(), f.confidence_N = answer.confidence.data(),
    f.logsumexp_N = answer.logsumexp.data();
    return f;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("without temperature the choice is the oracle's, every confidence and type", "", float,
                   __nv_bfloat16, __half) {
  for (const int64_t columns : {1, 33, 97, 1025, 9000})
    for (const SelectConfidence confidence : kConfidences) Problem<TestType>(3, columns, 0).check(confidence);
}

TEST_CASE("columns that begin anywhere in the vocabulary and in memory are read right", "[tiny]") {
  std::vector<int32_t> first_ids = {3, 0, 1, 2, 126};
  if (mmada::simt::thread_sanitizer()) first_ids.resize(1);
  for (const int32_t first_id : first_ids)
    for (const int64_t stride : {0, 103}) {
      Problem<__nv_bfloat16> problem(2, 97, first_id, stride);
      problem.check(SelectConfidence::kProbability);
      problem.params.temperature = 0.7f;
      const Answer got = problem.emulated({Schedule::kGreedy, true});
      CHECK(got.ids == problem.reference().ids);
    }
}

TEST_CASE("equal logits go to the lowest id, in one chunk or several") {
  Problem<__nv_bfloat16> problem(1, 1100);
  for (const int64_t column : {900, 77, 76, 450}) problem.set(0, column, 40.0f);
  for (const Way way : all_ways()) CHECK(problem.emulated(way).ids[0] == 76);
  CHECK(problem.emulated({Schedule::kReverse, true}, SelectConfidence::kProbability, 70).ids[0] == 76);
}

TEST_CASE("banned ids are as if their logits were -inf") {
  Problem<float> problem(2, 200, 30);
  const Answer free = problem.reference();
  problem.ban({static_cast<uint32_t>(free.ids[0]), static_cast<uint32_t>(free.ids[1]), 30, 229});
  CHECK(problem.reference().ids != free.ids);
  for (const SelectConfidence confidence : kConfidences) problem.check(confidence);
  problem.params.temperature = 1.0f;
  problem.check(SelectConfidence::kRandom);
}

TEST_CASE("a row of nothing but -inf, or with a NaN, has no choice and harms no other") {
  Problem<float> problem(3, 130);
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
  Problem<__nv_bfloat16> problem(4, 9000, 5);
  problem.params.temperature = 0.8f;
  const Answer whole = problem.emulated({Schedule::kShuffled, true}), exact = problem.reference();
  CHECK(whole.ids == exact.ids);  // fp32 noise: these seeds have no near ties
  CHECK(error(whole.confidence, exact.confidence) < 2e-5);
  CHECK(problem.emulated({Schedule::kGreedy, true}, SelectConfidence::kProbability, 1000).ids == whole.ids);
  Problem<__nv_bfloat16> alone(1, 9000, 5);
  std::copy_n(problem.logits.data() + 2 * 9000, 9000, alone.logits.data());
  alone.params.temperature = 0.8f;
  alone.positions[0] = problem.positions[2];
  CHECK(alone.emulated({Schedule::kFair, true}).ids[0] == whole.ids[2]);
  alone.steps[0] += 1;
  CHECK(alone.emulated({Schedule::kFair, true}).ids[0] != whole.ids[2]);
}

TEST_CASE("choices at temperature one follow the softmax") {
  constexpr int64_t kRows = 2000;
  Problem<float> problem(kRows, 4);
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
  Problem<__half> problem(3, 300);
  Operand<__half> uncond(900, 8);
  problem.params.uncond = uncond.data(), problem.wide_uncond = uncond.wide.data(),
  problem.params.guidance = 1.5f;
  const Answer exact = problem.reference();
  for (const bool difference_form : {true, false}) {
    problem.params.difference_form = difference_form;
    problem.check(SelectConfidence::kNegEntropy);
  }
  problem.params.guidance = 0.0f;
  CHECK(problem.reference().confidence != exact.confidence);
}

TEST_CASE("a banned id is banned wherever the columns begin", "[tiny]") {
  for (const int32_t first_id : {0, 5, 44}) {
    Problem<float> problem(1, 90, first_id);
    const auto best = static_cast<uint32_t>(problem.emulated({Schedule::kFair, true}).ids[0]);
    REQUIRE(best - static_cast<uint32_t>(first_id) < 90u);
    problem.ban({best});
    problem.check(SelectConfidence::kProbability);
  }
}

TEST_CASE("choices are the same bits under every schedule", "[tiny]") {
  Problem<__nv_bfloat16> problem(2, 9000);
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
  CHECK(refused([](auto& c) { c.first_id = INT32_MAX - 8; }) == Status::kUnsupported);
  CHECK(select_finish_cuda({}, {}) == Status::kInvalid);
  CHECK(mmada::simt::statistics().launches == 0);
}
