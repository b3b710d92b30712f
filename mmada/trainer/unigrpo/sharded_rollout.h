// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/generation/forward_model.h"
#include "mmada/model/sharded_transformer.h"

namespace mmada {

/// Generation on weights that stay in shards, for networks that no process can hold whole: blocks are
/// gathered around each forward pass; the head, which every step reads, is whole meanwhile.
///
/// Processes meet in every forward pass, of which they do not all need the same number: whoever has no more
/// of its own calls keep_company(), which goes through the others' passes with a row of one token, and
/// returns when nobody has any. Between two such calls of all processes there is one run in each.
class ShardedRollout {
 public:
  /// `weights`: type and device of the whole parameters. The transformer has to outlive it.
  ShardedRollout(ShardedTransformer& transformer, at::TensorOptions weights);

  ForwardModel model();
  void keep_company();

 private:
  bool anyone_goes_on(bool own) const;

  ShardedTransformer& transformer_;
  at::TensorOptions weights_;
  at::Tensor norm_D_, head_VD_;
};

}  // namespace mmada
