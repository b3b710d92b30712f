// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/common/host_device.h"

namespace mmada::kernels::attention {

/// One row's place in the token arrays.
struct Row {
  int64_t index;
  int64_t first_query, first_key;  ///< packed rows: tokens before this row; fixed rows: 0
  int64_t first_statistic;         ///< of this row's queries in logsumexp's last dimension
  int queries, keys;
};

MMADA_HOST_DEVICE inline Row row_of(const AttentionParams& p, int64_t b) {
  if (p.query_offsets_B1 == nullptr)
    return {b, 0, 0, b * p.queries, static_cast<int>(p.queries), static_cast<int>(p.keys)};
  const int q = p.query_offsets_B1[b], k = p.key_offsets_B1[b];
  return {b, q, k, q, p.query_offsets_B1[b + 1] - q, p.key_offsets_B1[b + 1] - k};
}

/// 32-bit, as all divisions on the device: one of 64 bits is a call there, which makes registers spill.
MMADA_HOST_DEVICE inline int heads_per_key_head(const AttentionParams& p) {
  return static_cast<int>(p.heads) / static_cast<int>(p.key_heads);
}

/// Element offset of a token of the row.
MMADA_HOST_DEVICE inline int64_t place(const AttentionParams& p, const AttentionStrides& s, const Row& row,
                                       int64_t first, int64_t token, int64_t head) {
  const int64_t row_offset = p.query_offsets_B1 == nullptr ? row.index * s.row : 0;
  return row_offset + (first + token) * s.token + head * s.head;
}

/// The keys that a query sees: two spans within [0, keys).
struct Spans {
  int begin0, end0, begin1, end1;
};

MMADA_HOST_DEVICE inline bool sees(const Spans& s, int key) {
  return (key >= s.begin0 && key < s.end0) || (key >= s.begin1 && key < s.end1);
}
MMADA_HOST_DEVICE inline bool sees_some(const Spans& s, int begin, int end) {
  const auto meets = [&](int b, int e) { return b < e && b < end && begin < e; };
  return meets(s.begin0, s.end0) || meets(s.begin1, s.end1);
}
MMADA_HOST_DEVICE inline bool sees_all(const Spans& s, int begin, int end) {
  return (s.begin0 <= begin && end <= s.end0) || (s.begin1 <= begin && end <= s.end1);
}

MMADA_HOST_DEVICE inline int group_of(const AttentionParams& p, int query) {
  return p.queries_per_group > 0 ? query / static_cast<int>(p.queries_per_group) : 0;
}

MMADA_HOST_DEVICE inline Spans spans_of_group(const AttentionParams& p, const Row& row, int group) {
  if (p.key_spans == nullptr) return {0, row.keys, 0, 0};
  const int32_t* s = p.key_spans + (row.index * p.query_groups + group) * 4;
  const auto clip = [&](int x) { return x < 0 ? 0 : (x < row.keys ? x : row.keys); };
  return {clip(s[0]), clip(s[1]), clip(s[2]), clip(s[3])};
}

enum class Overlap { kNone, kPartial, kFull };

/// What queries [query, query_end) see of keys [key, key_end).
MMADA_HOST_DEVICE inline Overlap overlap(const AttentionParams& p, const Row& row, int query, int query_end,
                                         int key, int key_end) {
  bool some = false, all = true;
  for (int group = group_of(p, query); group <= group_of(p, query_end - 1); ++group) {
    const Spans spans = spans_of_group(p, row, group);
    some |= sees_some(spans, key, key_end);
    all &= sees_all(spans, key, key_end);
  }
  return all ? Overlap::kFull : (some ? Overlap::kPartial : Overlap::kNone);
}

/// +1 where the query's position and the key both lie in the row's bias span.
struct Bias {
  int begin = 0, end = 0;
  bool query_inside = false;
};
MMADA_HOST_DEVICE inline Bias bias_of(const AttentionParams& p, const Row& row, int query) {
  if (p.bias_spans_B2 == nullptr) return {};
  const int32_t* span = p.bias_spans_B2 + row.index * 2;
  const int position = p.query_positions_BQ != nullptr && query < row.queries
                           ? p.query_positions_BQ[row.index * p.queries + query]
                           : query;
  return {span[0], span[1], position >= span[0] && position < span[1]};
}
MMADA_HOST_DEVICE inline bool has_bias(const Bias& bias, int key) {
  return bias.query_inside && key >= bias.begin && key < bias.end;
}

}  // namespace mmada::kernels::attention
