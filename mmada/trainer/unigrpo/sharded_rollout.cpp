// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/sharded_rollout.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/model/transformer_block.h"

namespace mmada {

ShardedRollout::ShardedRollout(ShardedTransformer& transformer, at::TensorOptions weights)
    : transformer_(transformer), weights_(weights) {
  const ShardedTransformer::FinalWeights last = transformer.final_weights();
  norm_D_ = last.norm_D.to(weights_), head_VD_ = last.head_VD.to(weights_);
}

bool ShardedRollout::anyone_goes_on(bool own) const {
  return transformer_.shards().group().largest({own ? 1 : 0}).front() > 0;
}

ForwardModel ShardedRollout::model() {
  const auto hidden = [this](const at::Tensor& ids_BT, const PassTables& tables) {
    anyone_goes_on(true);
    return transformer_.hidden(ids_BT, tables, norm_D_);
  };
  const auto head = [head_VD = head_VD_](Window window) {
    return head_VD.narrow(0, window.begin, window.size());
  };
  return {transformer_.config(), weights_, hidden, head};
}

void ShardedRollout::keep_company() {
  const at::Tensor token = at::zeros({1, 1}, weights_.dtype(at::kLong));
  const RowBatch row{.ids_BT = token};
  const PassTables tables =
      pass_tables(transformer_.config(), weights_.device(), row, at::zeros({1}, at::kLong));
  while (anyone_goes_on(false)) transformer_.hidden(token, tables, norm_D_);
}

}  // namespace mmada
