// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>

#include "mmada/model/transformer.h"

namespace mmada {

/// A network as the denoising loop sees it, wherever its weights are.
class ForwardModel {
 public:
  /// Final hidden states as Transformer::hidden gives them, and the head's rows of a window.
  using Hidden = std::function<at::Tensor(const at::Tensor& ids_BT, const PassTables& tables)>;
  using Head = std::function<at::Tensor(Window window)>;

  /// Weights in one place.
  ForwardModel(const Transformer& model);  // NOLINT(google-explicit-constructor): it is one
  /// Weights elsewhere; `options`: their type and device.
  ForwardModel(const TransformerConfig& config, at::TensorOptions options, Hidden hidden, Head head)
      : config_(config), options_(options), hidden_(std::move(hidden)), head_(std::move(head)) {}

  const TransformerConfig& config() const { return config_; }
  at::TensorOptions options() const { return options_; }
  /// As those of Transformer.
  at::Tensor hidden(const RowBatch& rows, const at::Tensor& positions_N) const;
  at::Tensor hidden(const at::Tensor& ids_BT, const PassTables& tables) const {
    return hidden_(ids_BT, tables);
  }
  PassTables tables(int64_t rows, int64_t tokens, const Visibility& visibility,
                    const std::optional<at::Tensor>& positions_N) const;
  at::Tensor head(Window window) const { return head_(window); }

 private:
  TransformerConfig config_;
  at::TensorOptions options_;
  Hidden hidden_;
  Head head_;
};

}  // namespace mmada
