// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "mmada/distributed/gathered_flat.h"

namespace mmada {

/// A tensor of a unit that is not trained, of any type: a weight, or the bytes and scales of a quantised one.
struct FrozenTensor {
  std::string name;
  std::vector<int64_t> shape;
  at::ScalarType type = at::kFloat;
};
/// Where frozen tensors lie among the bytes of their unit: elements of the layout are bytes, and its shapes
/// have the type's size behind the tensor's own.
FlatLayout frozen_layout(const std::vector<FrozenTensor>& tensors, int world_size, int64_t alignment);

/// The frozen tensors of a unit behind one another, cut into shards and gathered as bytes.
class FrozenFlat {
 public:
  /// Fills the tensors, whole and in the order given.
  using Fill = std::function<void(at::TensorList)>;

  FrozenFlat() = default;
  FrozenFlat(const std::vector<FrozenTensor>& tensors, const Group& group, int64_t alignment,
             at::Device device, const Fill& fill);

  /// Views of the whole, which are there between finish() and empty().
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  int64_t shard_bytes() const { return layout_.shard; }
  int64_t whole_bytes() const { return whole_.bytes(); }
  void start(const Group& group) { whole_.start(group, shard_); }
  void finish() { whole_.finish(); }
  void empty() { whole_.empty(); }
  /// The tensors in memory of their own. Every process calls it.
  std::vector<at::Tensor> gathered(const Group& group) const;

 private:
  std::vector<at::Tensor> views(const at::Tensor& bytes) const;

  std::vector<FrozenTensor> described_;
  FlatLayout layout_;
  at::Tensor shard_;  ///< bytes
  GatheredFlat whole_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace mmada
