// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, D d_model, N chosen positions, P the most chosen positions of
// any row.
#include "mmada/model/transformer_block.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/recomputed_linear.h"
#include "mmada/ops/rms_norm.h"
#include "mmada/ops/swiglu.h"

namespace mmada {
namespace {

at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, x.size(-1) / heads});
}

using Block = Transformer::Block;
using Projection = at::Tensor Block::*;
using Projections = std::initializer_list<Projection>;

/// A block's parameters, the network's sizes, and what its passes share.
struct BlockPass {
  const Transformer::Block& block;
  const TransformerConfig& config;
  const PassTables& tables;
  Recompute recompute;
  const BlockProduct& product;  ///< null: of the block's own weights

  /// Products of a function's output; where that is cheap to have again only its inputs are kept.
  std::vector<at::Tensor> products(const std::function<at::Tensor(at::TensorList)>& function,
                                   at::TensorList inputs, Projections projections) const {
    std::vector<at::Tensor> results;
    if (recompute == Recompute::kNormsAndSwiglu) {
      for (const Projection projection : projections) results.push_back(block.*projection);
      return project_recomputed(function, inputs, results);
    }
    const at::Tensor h = function(inputs);
    for (const Projection projection : projections) results.push_back(times(h, projection));
    return results;
  }

  at::Tensor times(const at::Tensor& x, Projection projection) const {
    return product ? product(x, projection) : project(x, block.*projection);
  }

  std::vector<at::Tensor> of_norm(const at::Tensor& x, const at::Tensor& weight,
                                  Projections projections) const {
    const auto norm = [eps = config.rms_norm_eps](at::TensorList in) { return rms_norm(in[0], in[1], eps); };
    return products(norm, {x, weight}, projections);
  }

  /// x + mixed, and the MLP on top of it.
  at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& mixed) const {
    at::Tensor sum;
    std::vector<at::Tensor> gates;
    if (recompute == Recompute::kNormsAndSwiglu) {
      sum = x + mixed;
      gates = of_norm(sum, block.ff_norm, {&Block::ff_proj, &Block::up_proj});
    } else {
      const auto [added, normed] = add_rms_norm(x, mixed, block.ff_norm, config.rms_norm_eps);
      sum = added;
      gates = {times(normed, &Block::ff_proj), times(normed, &Block::up_proj)};
    }
    const auto gated = [](at::TensorList in) { return swiglu(in[0], in[1]); };
    return sum + products(gated, gates, {&Block::ff_out})[0];
  }

  /// Every token's place in its row; none: rows of a rectangle count from 0.
  std::optional<at::Tensor> positions() const {
    return tables.packed ? std::optional(tables.packed->positions_M) : std::nullopt;
  }

  /// Packed rows: [1, N, H * D] of queries [1, N, H, D], keys and values [1, M, G, D].
  static at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const PackedRows& rows) {
    return packed_attention_op(q.squeeze(0), k.squeeze(0), v.squeeze(0), rows).out.flatten(1).unsqueeze(0);
  }

  at::Tensor full(const at::Tensor& x_BTD) const {
    const auto projected = of_norm(x_BTD, block.attn_norm, {&Block::q_proj, &Block::k_proj, &Block::v_proj});
    const auto [q, k] = rope(split_heads(projected[0], config.n_heads),
                             split_heads(projected[1], config.n_kv_heads), tables.rope, positions());
    const at::Tensor v = split_heads(projected[2], config.n_kv_heads);
    const at::Tensor mixed = tables.packed ? attend(q, k, v, tables.packed->all)
                                           : attention_op(q, k, v, tables.spans).out.flatten(2);
    return feed_forward(x_BTD, times(mixed, &Block::attn_out));
  }

  /// The same for chosen positions only: keys and values of every token, queries and the rest of [N, D].
  at::Tensor partial(const at::Tensor& x_BTD) const {
    const QueryPlan& plan = *tables.queries;
    const auto projected = of_norm(x_BTD, block.attn_norm, {&Block::k_proj, &Block::v_proj});
    const at::Tensor k = rope(split_heads(projected[0], config.n_kv_heads), tables.rope, positions());
    const at::Tensor v = split_heads(projected[1], config.n_kv_heads);
    const at::Tensor x_ND = x_BTD.flatten(0, 1).index_select(0, plan.flat_N);
    const at::Tensor q_ND = of_norm(x_ND, block.attn_norm, {&Block::q_proj})[0];
    const at::Tensor q_NHD = rope(split_heads(q_ND, config.n_heads), tables.rope, plan.token_N.to(at::kInt));
    AttentionSpans spans = tables.spans;
    if (spans.bias) spans.query_positions = plan.token_BP.to(at::kInt);
    const at::Tensor q_BPHD = plan.to_rows(q_NHD);
    const at::Tensor mixed_BPD = tables.packed ? attend(q_BPHD, k, v, tables.packed->chosen)
                                               : attention_op(q_BPHD, k, v, spans).out.flatten(2);
    return feed_forward(x_ND, times(plan.from_rows(mixed_BPD), &Block::attn_out));
  }
};

/// Offsets of as many queries in each row as there are positions in it.
std::vector<int64_t> chosen_offsets(const at::Tensor& positions_N, const std::vector<int64_t>& offsets) {
  const at::Tensor begins = at::tensor(offsets, at::kLong);
  const at::Tensor before = at::searchsorted(std::get<0>(positions_N.cpu().sort()), begins);
  return {before.const_data_ptr<int64_t>(), before.const_data_ptr<int64_t>() + before.numel()};
}

int64_t longest(const std::vector<int64_t>& offsets) {
  int64_t most = 0;
  for (size_t i = 1; i < offsets.size(); ++i) most = std::max(most, offsets[i] - offsets[i - 1]);
  return most;
}

at::Tensor integers(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::kInt).to(device);
}

PackedTables packed_tables(const std::vector<int64_t>& offsets, const std::optional<at::Tensor>& positions_N,
                           at::Device device) {
  std::vector<at::Tensor> places;
  for (size_t i = 1; i < offsets.size(); ++i)
    places.push_back(at::arange(offsets[i] - offsets[i - 1], at::TensorOptions(at::kInt)));
  const at::Tensor rows = integers(offsets, device);
  const int64_t most = longest(offsets);
  PackedTables tables{
      .positions_M = at::cat(places).to(device), .all = {rows, rows, most, most}, .chosen = {}};
  if (positions_N) {
    const std::vector<int64_t> chosen = chosen_offsets(*positions_N, offsets);
    tables.chosen = {integers(chosen, device), rows, longest(chosen), most};
  }
  return tables;
}

void check_packed(const RowBatch& rows) {
  const std::vector<int64_t>& offsets = rows.offsets;
  const int64_t tokens = rows.ids_BT.size(1);
  MMADA_CHECK(rows.ids_BT.size(0) == 1 && rows.valid.empty(), "transformer: found ids ", rows.ids_BT.sizes(),
              " and ", rows.valid.size(), " valid spans of packed rows, expected [1, M] and none");
  MMADA_CHECK(offsets.size() > 1 && offsets.front() == 0 && offsets.back() == tokens &&
                  std::ranges::adjacent_find(offsets, std::ranges::greater_equal()) == offsets.end(),
              "transformer: found offsets ", at::IntArrayRef(offsets),
              " of packed rows, expected rising from 0 to ", tokens);
}

}  // namespace

void check_rows(const RowBatch& rows, const TransformerConfig& config) {
  const at::Tensor& ids = rows.ids_BT;
  MMADA_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.numel() > 0, "transformer: found ids ",
              ids.sizes(), " of type ", ids.scalar_type(), ", expected non-empty [B, T] of int64");
  const auto range = at::aminmax(ids);
  const int64_t low = std::get<0>(range).item<int64_t>(), high = std::get<1>(range).item<int64_t>();
  MMADA_CHECK(low >= 0 && high < config.vocab_size, "transformer: found token ids from ", low, " to ", high,
              ", expected 0 to ", config.vocab_size - 1);
  if (!rows.offsets.empty()) check_packed(rows);
}

PassTables pass_tables(const TransformerConfig& config, at::Device device, int64_t rows, int64_t tokens,
                       const Visibility& visibility, const std::optional<at::Tensor>& positions_N) {
  PassTables tables{.rope = rope_table(tokens, config.head_dim(), config.rope_theta, device),
                    .spans = attention_spans(visibility, rows, tokens, device),
                    .queries = {}};
  if (positions_N) tables.queries.emplace(*positions_N, rows, tokens, device);
  return tables;
}

PassTables pass_tables(const TransformerConfig& config, at::Device device, const RowBatch& rows,
                       const std::optional<at::Tensor>& positions_N) {
  if (rows.offsets.empty())
    return pass_tables(config, device, rows.ids_BT.size(0), rows.ids_BT.size(1), {rows.mode, rows.valid},
                       positions_N);
  PassTables tables{.rope = rope_table(longest(rows.offsets), config.head_dim(), config.rope_theta, device),
                    .spans = {},
                    .queries = {},
                    .packed = packed_tables(rows.offsets, positions_N, device)};
  if (positions_N) tables.queries.emplace(*positions_N, rows.offsets, device);
  return tables;
}

at::Tensor run_block(const Transformer::Block& block, const at::Tensor& x_BTD,
                     const TransformerConfig& config, const PassTables& tables, bool last,
                     Recompute recompute, const BlockProduct& product) {
  const BlockPass pass{block, config, tables, recompute, product};
  return last && tables.queries ? pass.partial(x_BTD) : pass.full(x_BTD);
}

}  // namespace mmada
