// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/model/config.h"
#include "mmada/model/query_plan.h"
#include "mmada/ops/attention.h"
#include "mmada/ops/rope.h"

namespace mmada {

/// A batch of rows: ids [B, T] int64, the rest of each row outside its valid span is padding. Or packed rows
/// of any lengths, which have no padding: ids [1, M], row b tokens offsets[b] to offsets[b + 1].
struct RowBatch {
  at::Tensor ids_BT;
  std::vector<Span> valid = {};  ///< one per row; empty: every row is valid from 0 to T
  AttentionMode mode = AttentionMode::kHard;
  std::vector<int64_t> offsets = {};  ///< from 0 to M, rising; empty: the rows are not packed
};

/// Packed rows on the device.
struct PackedTables {
  at::Tensor positions_M;  ///< int32: a token's place in its row, which RoPE turns it by
  PackedRows all;          ///< queries of every token
  PackedRows chosen;       ///< queries of the chosen positions, those of a row together
};

/// What a forward pass reads besides ids and weights, on the device: made once for all passes over batches of
/// one shape.
struct PassTables {
  RopeTable rope;
  AttentionSpans spans;
  std::optional<QueryPlan> queries;         ///< none: every position is read
  std::optional<PackedTables> packed = {};  ///< none: the rows are a rectangle
};

/// What a weight is, for optimizer groups (by kind of module, never by a substring of the name).
enum class ParameterKind { kEmbedding, kLinear, kNorm, kHead };

struct NamedParameter {
  std::string name;  ///< published name with the leading "model."
  at::Tensor tensor;
  ParameterKind kind;
};

/// The bidirectional transformer (SPEC 1.2). A value type over shared tensors: copies share weights.
class Transformer {
 public:
  struct Block {
    at::Tensor attn_norm, q_proj, k_proj, v_proj, attn_out;
    at::Tensor ff_norm, ff_proj, up_proj, ff_out;
  };

  Transformer() = default;
  /// Uninitialised weights of the right shapes.
  Transformer(const TransformerConfig& config, at::TensorOptions options);

  const TransformerConfig& config() const { return config_; }
  at::TensorOptions options() const { return wte_.options(); }

  /// Final hidden states after ln_f at flat row-major positions b*T+t (int64 [N]) -> [N, D]. The last block
  /// computes its queries and MLP at these positions only. Differentiable in the weights when they require
  /// grad.
  at::Tensor hidden(const RowBatch& rows, const at::Tensor& positions_N) const;
  /// The same for every position: [B, T, D].
  at::Tensor hidden(const RowBatch& rows) const;
  /// The two steps of either: first what looks at shapes, spans and positions on the host; then the pass
  /// itself, which reads ids (int32 or int64, on the device and known to be in range) and waits for nothing.
  PassTables tables(int64_t rows, int64_t tokens, const Visibility& visibility,
                    const std::optional<at::Tensor>& positions_N) const;
  at::Tensor hidden(const at::Tensor& ids_BT, const PassTables& tables) const;
  /// Logits over the vocabulary window: [N, window.size()] in the weights' dtype.
  at::Tensor logits(const at::Tensor& hidden_ND, Window window) const;
  /// The head's weight rows of a window: a view [window.size(), D].
  at::Tensor head(Window window) const;

  /// Published order and names (SPEC 1.5).
  std::vector<NamedParameter> parameters() const;

 private:
  TransformerConfig config_;
  at::Tensor wte_;
  std::vector<Block> blocks_;
  at::Tensor ln_f_, ff_out_;
};

/// How fresh weights are drawn (SPEC 1.6): every parameter from a stream named after it, so that any process
/// builds any parameter alone.
struct InitOptions {
  std::string method = "mitchell";       ///< mitchell | full_megatron | normal | kaiming_normal | fan_in
  double init_std = 0.02;                ///< normal, full_megatron
  double embedding_std = 0.0;            ///< > 0 overrides the method for wte
  bool zero_output_projections = false;  ///< attn_out and block ff_out start at 0
  uint64_t seed = 0;
};
void initialize(Transformer& model, const InitOptions& options);

}  // namespace mmada
