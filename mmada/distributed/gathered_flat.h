// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include "mmada/distributed/flat_layout.h"
#include "mmada/distributed/group.h"

namespace mmada {

/// A flat tensor of a unit that is cut into shards and whole only around its use. Views of it stay valid: the
/// storage is emptied and filled again, so that whatever kept a view (a linear layer's graph keeps the
/// transposed weight) sees the weights whenever they are there.
class GatheredFlat {
 public:
  GatheredFlat() = default;
  /// Of `padded` elements, there until empty() is called; `resident`: the shard is the whole itself.
  GatheredFlat(const at::Tensor& shard, int64_t padded, at::ScalarType type, bool resident);

  const at::Tensor& whole() const { return whole_; }
  /// What filling takes: 0 where the whole is resident.
  int64_t bytes() const;
  void start(const Group& group, const at::Tensor& shard);
  void finish();
  void empty();

 private:
  bool resident_ = true;
  at::Tensor whole_;  ///< [padded]
  at::Tensor sent_;   ///< the shard in the whole's type, while it is being gathered
  Group::Work gather_;
};

/// This process's part of a flat tensor: a process alone takes it all.
at::Tensor own_shard(const at::Tensor& flat, const FlatLayout& layout, const Group& group);
/// A parameter within the flat tensor.
at::Tensor view_of(const at::Tensor& flat, const FlatParameter& parameter);

}  // namespace mmada
