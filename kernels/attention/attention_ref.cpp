// SPDX-License-Identifier: MIT
#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention/visibility.h"

namespace mmada::kernels {

namespace {

using attention::Row;

constexpr double kHidden = -1e300;  // any score above is finite

/// One query of one head against every key of its row.
class Query {
 public:
  Query(const AttentionParams& params, const Row& row, int query, int64_t head)
      : p_(params),
        row_(row),
        query_(query),
        head_(head),
        key_head_(head / (params.heads / params.key_heads)) {}

  size_t own(const AttentionStrides& s) const {
    return static_cast<size_t>(attention::place(p_, s, row_, row_.first_query, query_, head_));
  }
  size_t of_key(const AttentionStrides& s, int key) const {
    return static_cast<size_t>(attention::place(p_, s, row_, row_.first_key, key, key_head_));
  }
  bool is_first() const { return query_ == 0 && head_ % (p_.heads / p_.key_heads) == 0; }
  float& logsumexp() const { return p_.logsumexp[head_ * p_.total_queries + row_.first_statistic + query_]; }

  /// Scores of all keys, -inf where hidden.
  std::vector<double> scores(double (*round)(double)) const {
    const auto *q = static_cast<const float*>(p_.q), *k = static_cast<const float*>(p_.k);
    const auto spans = attention::spans_of_group(p_, row_, attention::group_of(p_, query_));
    const auto bias = attention::bias_of(p_, row_, query_);
    std::vector<double> result(row_.keys, -std::numeric_limits<double>::infinity());
    for (int key = 0; key < row_.keys; ++key) {
      if (!attention::sees(spans, key)) continue;
      const float *q_D = q + own(p_.q_strides), *k_D = k + of_key(p_.k_strides, key);
      double dot = 0;
      for (int64_t d = 0; d < p_.head_dim; ++d) dot += static_cast<double>(q_D[d]) * k_D[d];
      result[key] = round(dot * p_.scale + (attention::has_bias(bias, key) ? 1.0 : 0.0));
    }
    return result;
  }

 private:
  const AttentionParams& p_;
  const Row& row_;
  int query_;
  int64_t head_, key_head_;
};

template <class F>
void for_each_query(const AttentionParams& p, F&& f) {
  for (int64_t b = 0; b < p.batch; ++b) {
    const Row row = attention::row_of(p, b);
    for (int64_t h = 0; h < p.heads; ++h)
      for (int i = 0; i < row.queries; ++i) f(row, Query(p, row, i, h));
  }
}

double log_sum_exp(const std::vector<double>& scores) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const double s : scores) largest = s > largest ? s : largest;
  if (std::isinf(largest)) return largest;
  for (const double s : scores) sum += std::exp(s - largest);
  return largest + std::log(sum);
}

}  // namespace

void attention_ref(const AttentionParams& p, double (*round)(double)) {
  const auto* v = static_cast<const float*>(p.v);
  auto* out = static_cast<float*>(p.out);
  for_each_query(p, [&](const Row& row, const Query& query) {
    const std::vector<double> scores = query.scores(round);
    const double lse = log_sum_exp(scores);
    if (p.logsumexp != nullptr) query.logsumexp() = static_cast<float>(lse);
    std::vector<double> sum(p.head_dim);
    for (int key = 0; key < row.keys; ++key) {
      if (!(scores[key] > kHidden)) continue;
      const double probability = round(std::exp(scores[key] - lse));
      const float* v_D = v + query.of_key(p.v_strides, key);
      for (int64_t d = 0; d < p.head_dim; ++d) sum[d] += probability * v_D[d];
    }
    float* out_D = out + query.own(p.out_strides);
    for (int64_t d = 0; d < p.head_dim; ++d) out_D[d] = static_cast<float>(round(sum[d]));
  });
}

void attention_backward_ref(const AttentionParams& p, const AttentionGradients& g, double (*round)(double)) {
  const auto *q = static_cast<const float*>(p.q), *k = static_cast<const float*>(p.k),
             *v = static_cast<const float*>(p.v), *dout = static_cast<const float*>(g.dout);
  const int64_t width = p.head_dim;
  // dk and dv are sums over queries and heads: kept in fp64 at the gradients' own places
  size_t extent = 0;
  for_each_query(p, [&](const Row& row, const Query& query) {
    for (int key = 0; key < row.keys; ++key)
      extent =
          std::max({extent, query.of_key(p.k_strides, key) + width, query.of_key(p.v_strides, key) + width});
  });
  std::vector<double> dk(extent), dv(extent);
  for_each_query(p, [&](const Row& row, const Query& query) {
    const std::vector<double> scores = query.scores(round);
    const double lse = log_sum_exp(scores);
    const size_t own = query.own(p.q_strides), own_out = query.own(p.out_strides);
    std::vector<double> probability(row.keys), dprobability(row.keys), dq(width);
    double delta = 0;  // sum over keys of p dp = dout . out
    for (int key = 0; key < row.keys; ++key) {
      if (!(scores[key] > kHidden)) continue;
      probability[key] = std::exp(scores[key] - lse);
      const size_t at = query.of_key(p.v_strides, key);
      double dot = 0;
      const double rounded = round(probability[key]);
      for (int64_t d = 0; d < width; ++d) {
        dot += static_cast<double>(dout[own_out + d]) * v[at + d];
        dv[at + d] += rounded * dout[own_out + d];
      }
      dprobability[key] = round(dot);
      delta += probability[key] * dprobability[key];
    }
    for (int key = 0; key < row.keys; ++key) {
      const double dscore = round(probability[key] * (dprobability[key] - delta)) * p.scale;
      const size_t at = query.of_key(p.k_strides, key);
      for (int64_t d = 0; d < width; ++d) {
        dq[d] += dscore * k[at + d];
        dk[at + d] += dscore * q[own + d];
      }
    }
    for (int64_t d = 0; d < width; ++d) static_cast<float*>(g.dq)[own + d] = static_cast<float>(round(dq[d]));
  });
  for_each_query(p, [&](const Row& row, const Query& query) {
    if (!query.is_first()) return;  // of those that share the row's keys
    for (int key = 0; key < row.keys; ++key)
      for (int64_t d = 0; d < width; ++d) {
        const size_t at_k = query.of_key(p.k_strides, key) + d, at_v = query.of_key(p.v_strides, key) + d;
        static_cast<float*>(g.dk)[at_k] = static_cast<float>(round(dk[at_k]));
        static_cast<float*>(g.dv)[at_v] = static_cast<float>(round(dv[at_v]));
      }
  });
}

}  // namespace mmada::kernels
