// SPDX-License-Identifier: MIT
#include "mmada/generation/forward_model.h"

#include <ATen/ATen.h>

#include "mmada/model/transformer_block.h"

namespace mmada {

ForwardModel::ForwardModel(const Transformer& model)
    : config_(model.config()),
      options_(model.options()),
      hidden_([model](const at::Tensor& ids_BT, const PassTables& tables) {
        return model.hidden(ids_BT, tables);
      }),
      head_([model](Window window) { return model.head(window); }) {}

at::Tensor ForwardModel::hidden(const RowBatch& rows, const at::Tensor& positions_N) const {
  if (positions_N.numel() == 0) return at::zeros({0, config_.d_model}, options_);
  check_rows(rows, config_);
  const at::Device device = options_.device();
  return hidden_(rows.ids_BT.to(device), pass_tables(config_, device, rows, positions_N));
}

PassTables ForwardModel::tables(int64_t rows, int64_t tokens, const Visibility& visibility,
                                const std::optional<at::Tensor>& positions_N) const {
  return pass_tables(config_, options_.device(), rows, tokens, visibility, positions_N);
}

}  // namespace mmada
