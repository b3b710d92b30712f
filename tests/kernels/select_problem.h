// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/select/select.h"
#include "normals.h"
#include "platform.h"

/// Logits, their noise streams, and what a kernel and the oracle choose from them.
namespace select_test {

using namespace mmada::kernels;
using emulation::Shared;

constexpr SelectConfidence kConfidences[] = {SelectConfidence::kProbability, SelectConfidence::kMargin,
                                             SelectConfidence::kNegEntropy, SelectConfidence::kRandom};
constexpr int64_t kWhole = int64_t{1} << 30;  // the vocabulary in one chunk

struct Answer {
  Shared<int32_t> ids;
  Shared<float> confidence, logsumexp;
  bool operator==(const Answer&) const = default;
};

/// Kernels: the element type, its FloatType, narrow() and widen(), and static slots(), statistics() and
/// finish().
template <class Kernels>
struct Problem {
  using Element = typename Kernels::Element;

  Problem(int64_t n, int64_t columns, int32_t first_id = 0, int64_t row_stride = 0)
      : wide(emulation::normals(static_cast<size_t>(n * std::max(columns, row_stride)), 1, 3.0f)),
        logits(wide.size()),
        positions(n),
        steps(n, 3),
        streams(n, 9) {
    for (size_t i = 0; i < wide.size(); ++i) put(i, wide[i]);
    for (int64_t i = 0; i < n; ++i) positions[i] = static_cast<uint32_t>(7 * i + 2);
    params.rows = n, params.columns = columns, params.row_stride = std::max(columns, row_stride);
    params.first_id = first_id, params.token_key = keys.data();
    params.positions_N = positions.data(), params.steps_N = steps.data(), params.streams_N = streams.data();
  }
  void set(int64_t n, int64_t column, float value) {
    put(static_cast<size_t>(n * params.row_stride + column), value);
  }
  void ban(std::initializer_list<uint32_t> ids) {
    banned.assign((params.first_id + params.columns) / 32 + 1, 0);
    for (const uint32_t id : ids) banned[id / 32] |= 1u << id % 32;
    params.banned_bits = banned.data();
  }
  void guide(float guidance) {
    wide_uncond = emulation::normals(wide.size(), 8, 3.0f);
    uncond.resize(wide.size());
    for (size_t i = 0; i < uncond.size(); ++i)
      uncond[i] = Kernels::narrow(wide_uncond[i]), wide_uncond[i] = Kernels::widen(uncond[i]);
    params.uncond = uncond.data(), params.guidance = guidance;
  }

  /// The vocabulary in chunks of so many columns, merged at the end.
  Answer kernel(SelectConfidence confidence = SelectConfidence::kProbability, int64_t chunk = kWhole) {
    std::vector<SelectStatisticsParams> parts;
    int64_t slots = 0;
    for (int64_t begin = 0; begin < params.columns; begin += chunk) {
      SelectStatisticsParams p = params;
      p.type = Kernels::kType;
      p.logits = logits.data() + begin;
      if (params.uncond != nullptr) p.uncond = uncond.data() + begin;
      p.columns = std::min(chunk, params.columns - begin);
      p.first_id = static_cast<int32_t>(params.first_id + begin);
      p.first_slot = slots;
      slots += Kernels::slots(p);
      parts.push_back(p);
    }
    Shared<SelectState> states(params.rows * slots);
    for (SelectStatisticsParams& p : parts) {
      p.states = states.data(), p.slots = slots;
      REQUIRE(Kernels::statistics(p) == Status::kOk);
    }
    Answer answer = empty();
    SelectFinishParams finish = outputs(answer, confidence);
    finish.states = states.data(), finish.slots = slots;
    REQUIRE(Kernels::finish(finish) == Status::kOk);
    return answer;
  }
  Answer reference(SelectConfidence confidence = SelectConfidence::kProbability) {
    Answer answer = empty();
    SelectStatisticsParams p = params;
    p.logits = wide.data();
    if (params.uncond != nullptr) p.uncond = wide_uncond.data();
    std::vector<double> scores(params.rows);
    select_ref(p, outputs(answer, confidence), scores.data());
    return answer;
  }
  /// The same ids; confidence and log-sum-exp to a few fp32 roundings; random confidence to the bit.
  void check(SelectConfidence confidence, int64_t chunk = kWhole) {
    const Answer got = kernel(confidence, chunk), expected = reference(confidence);
    CHECK(got.ids == expected.ids);
    if (confidence == SelectConfidence::kRandom) CHECK(got.confidence == expected.confidence);
    for (size_t i = 0; i < got.ids.size(); ++i) {
      CHECK(got.confidence[i] == Approx(expected.confidence[i]).epsilon(3e-5).margin(2e-5));
      CHECK(got.logsumexp[i] == Approx(expected.logsumexp[i]).epsilon(1e-6).margin(1e-5));
    }
  }

  std::vector<float> wide, wide_uncond;  ///< the logits rounded to Element, for the oracle
  Shared<Element> logits, uncond;
  Shared<uint32_t> positions, steps, streams, banned;
  Shared<uint64_t> keys = {0x123456789ABCDEFull, 77};  ///< of the choice and of random confidence
  SelectStatisticsParams params;

 private:
  void put(size_t at, float value) {
    logits[at] = Kernels::narrow(value);
    wide[at] = Kernels::widen(logits[at]);
  }
  Answer empty() const {
    const auto n = static_cast<size_t>(params.rows);
    return {Shared<int32_t>(n, -1), Shared<float>(n, NAN), Shared<float>(n, NAN)};
  }
  SelectFinishParams outputs(Answer& answer, SelectConfidence confidence) const {
    SelectFinishParams f;
    f.rows = params.rows, f.confidence = confidence, f.random_key = keys.data() + 1;
    f.positions_N = params.positions_N, f.steps_N = params.steps_N, f.streams_N = params.streams_N;
    f.ids_N = answer.ids.data(), f.confidence_N = answer.confidence.data(),
    f.logsumexp_N = answer.logsumexp.data();
    return f;
  }
};

/// A guided column at -inf in both rows is as if it were banned: -inf - -inf must not reach the softmax.
template <class Problem>
void check_hidden_guidance() {
  for (const bool difference_form : {true, false}) {
    Problem problem(2, 40);
    problem.guide(1.5f);
    problem.params.difference_form = difference_form;
    problem.ban({3});
    const Answer expected = problem.kernel();
    for (const int64_t n : {0, 1}) {
      problem.set(n, 3, -INFINITY);
      problem.uncond[n * 40 + 3] = problem.logits[n * 40 + 3];
    }
    problem.params.banned_bits = nullptr;
    CHECK(problem.kernel() == expected);
  }
}

inline float noise_of(const SelectStatisticsParams& p, int32_t id) {
  uint32_t bits[4];
  noise_block({*p.token_key, p.positions_N[0], p.steps_N[0], p.streams_N[0]}, static_cast<uint32_t>(id / 4),
              bits);
  return -std::log(-std::log(open_unit_float(bits[id % 4])));
}
/// Kernels skip the noise of ids that cannot win; one that wins narrowly, by noise as large as noise gets,
/// must not be among them, whether its rival lies in the same stretch of the row or was read long before.
template <class Problem>
void check_rare_noise() {
  const Problem any(1, 1);
  int32_t rare = 4000;
  for (int32_t id = rare; id < 4000000; ++id)
    if (noise_of(any.params, id) > noise_of(any.params, rare)) rare = id;
  REQUIRE(noise_of(any.params, rare) > 14.0f);
  constexpr int32_t kColumns = 3000, kPlace = 2000;
  for (const int32_t rival : {5, 1300, 2900}) {
    Problem problem(1, kColumns, rare - kPlace);
    for (int64_t i = 0; i < kColumns; ++i) problem.set(0, i, -100.0f);
    problem.set(0, 1310, 0.25f);  // so that the rare one is never first in the softmax
    problem.set(0, kPlace, 0.0f);
    const float of_rival = noise_of(any.params, rare - kPlace + rival);
    problem.set(0, rival, noise_of(any.params, rare) - of_rival - 0.25f);
    problem.params.temperature = 1.0f;
    CHECK(problem.reference().ids[0] == rare);
    CHECK(problem.kernel().ids[0] == rare);
  }
}

/// The same arguments draw other noise once the numbers at the keys' addresses change, and the same as ever
/// once they are back: what a replayed CUDA graph relies on.
template <class Problem>
void check_keys_are_read_in_place() {
  Problem problem(40, 33);
  problem.params.temperature = 1.0f;
  const Answer first = problem.kernel(SelectConfidence::kRandom);
  problem.keys[0] += 1;
  const Answer other_choice = problem.kernel(SelectConfidence::kRandom);
  CHECK(other_choice.ids != first.ids);
  CHECK(other_choice.ids == problem.reference(SelectConfidence::kRandom).ids);
  CHECK(other_choice.confidence == first.confidence);
  problem.keys[1] += uint64_t{1} << 40;  // both halves of a key count
  const Answer other_confidence = problem.kernel(SelectConfidence::kRandom);
  CHECK(other_confidence.confidence != first.confidence);
  CHECK(other_confidence.confidence == problem.reference(SelectConfidence::kRandom).confidence);
  problem.keys = {0x123456789ABCDEFull, 77};
  CHECK(problem.kernel(SelectConfidence::kRandom) == first);
}

}  // namespace select_test
