// SPDX-License-Identifier: MIT
#include "mmada/model/work.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace mmada {

Work& Work::operator+=(const Work& other) {
  forwards += other.forwards;
  tokens += other.tokens;
  read_rows += other.read_rows;
  logits += other.logits;
  layer_flops += other.layer_flops;
  attention_flops += other.attention_flops;
  head_flops += other.head_flops;
  weight_bytes += other.weight_bytes;
  return *this;
}

namespace {

/// Pairs of a query and a key that it sees: of `full_layers` with every query, and of one with the chosen
/// ones, as many in each row of a rectangle as in the one that has most.
int64_t attention_pairs(const RowBatch& rows, const std::vector<int64_t>& positions_N, int64_t full_layers) {
  const int64_t batch = rows.ids_BT.size(0), length = rows.ids_BT.size(1);
  int64_t pairs = 0;
  if (!rows.offsets.empty()) {
    std::vector<int64_t> sorted = positions_N;
    std::ranges::sort(sorted);
    const auto before = [&](int64_t end) { return std::ranges::lower_bound(sorted, end) - sorted.begin(); };
    for (size_t b = 1; b < rows.offsets.size(); ++b) {
      const int64_t begin = rows.offsets[b - 1], end = rows.offsets[b];
      pairs += (end - begin) * (full_layers * (end - begin) + before(end) - before(begin));
    }
    return pairs;
  }
  std::vector<int64_t> read_of_row(static_cast<size_t>(batch));
  for (const int64_t position : positions_N) ++read_of_row[position / length];
  const int64_t most = *std::ranges::max_element(read_of_row);
  const bool cut = rows.mode == AttentionMode::kHard && !rows.valid.empty();
  for (int64_t b = 0; b < batch; ++b)
    pairs += (cut ? rows.valid[b].size() : length) * (full_layers * length + most);
  return pairs;
}

}  // namespace

Work layers_work(const TransformerConfig& config, const RowBatch& rows,
                 const std::vector<int64_t>& positions_N, int64_t element_bytes) {
  const int64_t d = config.d_model, k = config.n_kv_heads * config.head_dim(), m = config.mlp_hidden_size;
  const int64_t batch = rows.ids_BT.size(0), length = rows.ids_BT.size(1), full_layers = config.n_layers - 1;
  const auto read = static_cast<int64_t>(positions_N.size());
  const int64_t whole = 2 * d * d + 2 * d * k + 3 * d * m, of_reader = 2 * d * d + 3 * d * m;
  Work work{.forwards = 1, .tokens = batch * length, .read_rows = read};
  work.layer_flops =
      full_layers * 2 * work.tokens * whole + 2 * work.tokens * 2 * d * k + 2 * read * of_reader;
  work.attention_flops = 4 * d * attention_pairs(rows, positions_N, full_layers);
  work.weight_bytes = config.n_layers * whole * element_bytes;
  return work;
}

Work head_work(const TransformerConfig& config, int64_t rows, int64_t columns, int64_t element_bytes) {
  return {.logits = rows * columns,
          .head_flops = 2 * config.d_model * rows * columns,
          .weight_bytes = columns * config.d_model * element_bytes};
}

}  // namespace mmada
