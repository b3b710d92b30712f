// SPDX-License-Identifier: MIT
#include "mmada/ops/select.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/common/philox.h"
#include "mmada/core/check.h"
#include "mmada/core/rng.h"

namespace mmada {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
// -log(-log u) of the largest u that open_unit_float gives, 1 - 2^-24, rounded up: a bound that lets most of
// the vocabulary skip its noise.
constexpr double kLargestGumbel = 16.64;

double gumbel(uint32_t bits) {
  return -std::log(-std::log(static_cast<double>(kernels::open_unit_float(bits))));
}

uint32_t position_bits(const NoiseSource& source, std::string_view name, int64_t position) {
  const uint32_t counter[4] = {0, static_cast<uint32_t>(position), source.step, source.stream};
  uint32_t out[4];
  kernels::philox4x32(stream_key(source.seed, name), counter, out);
  return out[0];
}

/// The noise of one token row position: four vocabulary ids share a Philox block, which is kept for the next
/// call.
class TokenNoise {
 public:
  TokenNoise(uint64_t key, const NoiseSource& source, int64_t position)
      : key_(key), counter_{0, static_cast<uint32_t>(position), source.step, source.stream} {}

  double operator()(int64_t id) {
    const auto block = static_cast<uint32_t>(id >> 2);
    if (!filled_ || counter_[0] != block) {
      counter_[0] = block;
      kernels::philox4x32(key_, counter_, bits_);
      filled_ = true;
    }
    return gumbel(bits_[id & 3]);
  }

 private:
  uint64_t key_;
  uint32_t counter_[4];
  uint32_t bits_[4] = {};
  bool filled_ = false;
};

/// What one pass over a row's logits gives.
struct RowStatistics {
  int64_t best = 0;  ///< column of the largest logit, the first of equals
  double largest = kMinusInfinity;
  double second = kMinusInfinity;
  double sum = 0.0;           ///< of exp(logit - largest)
  double weighted_sum = 0.0;  ///< of exp(logit - largest) * (logit - largest)
};

RowStatistics statistics(const std::vector<float>& row, bool with_entropy) {
  RowStatistics s;
  for (size_t i = 0; i < row.size(); ++i) {
    const double x = row[i];
    if (x > s.largest) {
      s.second = s.largest;
      s.largest = x;
      s.best = static_cast<int64_t>(i);
    } else if (x > s.second) {
      s.second = x;
    }
  }
  for (const float x : row) {
    const double shifted = x - s.largest, e = std::exp(shifted);
    s.sum += e;
    if (with_entropy && e > 0) s.weighted_sum += e * shifted;
  }
  return s;
}

/// Columns that top-k and top-p leave to choose from, best first; ties go to the lower id.
std::vector<int64_t> filtered_columns(const std::vector<float>& row, const SelectParams& params) {
  std::vector<int64_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto better = [&](int64_t a, int64_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; };
  const auto size = static_cast<int64_t>(row.size());
  const int64_t keep = params.top_k > 0 ? std::min(params.top_k, size) : size;
  std::partial_sort(order.begin(), order.begin() + keep, order.end(), better);
  order.resize(static_cast<size_t>(keep));
  if (params.top_p >= 1.0) return order;
  const double temperature = params.temperature > 0 ? params.temperature : 1.0, largest = row[order[0]];
  const auto weight = [&](int64_t column) { return std::exp((row[column] - largest) / temperature); };
  double total = 0.0, kept = 0.0;
  for (const int64_t column : order) total += weight(column);
  size_t count = 0;
  while (count < order.size() && (count == 0 || kept < params.top_p * total)) kept += weight(order[count++]);
  order.resize(count);
  return order;
}

int64_t choose(const std::vector<float>& row, int64_t best, uint64_t key, int64_t position,
               const SelectParams& params) {
  if (params.temperature <= 0) return best;
  TokenNoise noise(key, params.noise, position);
  double best_score = row[best] + params.temperature * noise(params.window.begin + best);
  int64_t chosen = best;
  const auto consider = [&](int64_t column) {
    if (row[column] + params.temperature * kLargestGumbel <= best_score || column == best) return;
    const double score = row[column] + params.temperature * noise(params.window.begin + column);
    if (score > best_score) best_score = score, chosen = column;
  };
  if (params.top_k > 0 || params.top_p < 1.0) {
    for (const int64_t column : filtered_columns(row, params)) consider(column);
  } else {
    for (int64_t column = 0; column < params.window.size(); ++column) consider(column);
  }
  return chosen;
}

double confidence_of(const std::vector<float>& row, const RowStatistics& s, int64_t chosen, int64_t position,
                     const SelectParams& params) {
  switch (params.confidence) {
    case Confidence::kRandom:
      return position_uniform(params.noise, "random_confidence", position);
    case Confidence::kProbability:
      return params.log_probabilities ? std::exp(static_cast<double>(row[chosen]))
                                      : std::exp(row[chosen] - s.largest) / s.sum;
    case Confidence::kMargin:
      return (1.0 - std::exp(s.second - s.largest)) / s.sum;
    case Confidence::kNegEntropy:
      return s.weighted_sum / s.sum - std::log(s.sum);
  }
  return 0.0;
}

void set_minus_infinity(std::vector<float>& row, std::span<const int64_t> ids, Window window) {
  for (const int64_t id : ids)
    if (window.contains(id)) row[id - window.begin] = -std::numeric_limits<float>::infinity();
}

void select_row(const float* logits, int64_t index, uint64_t key, const SelectParams& params, Selected& out) {
  std::vector<float> row(logits, logits + params.window.size());
  set_minus_infinity(row, params.banned, params.window);
  const bool with_entropy = params.confidence == Confidence::kNegEntropy;
  RowStatistics s = statistics(row, with_entropy);
  MMADA_CHECK(std::isfinite(s.largest) && std::isfinite(s.sum), "select: row ", index, " (position ",
              params.positions[index],
              "): found NaN or nothing but -inf among its logits, expected a finite one to choose");
  const int64_t position = params.positions[index], chosen = choose(row, s.best, key, position, params);
  const int64_t id = params.window.begin + chosen;
  out.ids[index] = id;
  if (!params.never_confident.empty()) {
    if (std::find(params.never_confident.begin(), params.never_confident.end(), id) !=
        params.never_confident.end()) {
      out.confidence[index] = kMinusInfinity;
      return;
    }
    set_minus_infinity(row, params.never_confident, params.window);
    s = statistics(row, with_entropy);
  }
  out.confidence[index] = confidence_of(row, s, chosen, position, params);
}

}  // namespace

float position_uniform(const NoiseSource& source, std::string_view name, int64_t position) {
  return kernels::open_unit_float(position_bits(source, name, position));
}

double position_gumbel(const NoiseSource& source, std::string_view name, int64_t position) {
  return gumbel(position_bits(source, name, position));
}

Selected select_tokens(const at::Tensor& logits_NW, const SelectParams& params) {
  const auto rows = static_cast<int64_t>(params.positions.size());
  MMADA_CHECK(logits_NW.dim() == 2 && logits_NW.size(0) == rows && logits_NW.size(1) == params.window.size(),
              "select: logits: found shape ", logits_NW.sizes(), ", expected [", rows, ", ",
              params.window.size(), "]");
  const at::Tensor logits = logits_NW.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* data = logits.const_data_ptr<float>();
  Selected out{std::vector<int64_t>(rows), std::vector<double>(rows)};
  const uint64_t key = stream_key(params.noise.seed, "token");
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) select_row(data + i * params.window.size(), i, key, params, out);
  });
  return out;
}

}  // namespace mmada
