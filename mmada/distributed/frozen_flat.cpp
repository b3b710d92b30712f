// SPDX-License-Identifier: MIT
#include "mmada/distributed/frozen_flat.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace mmada {

FlatLayout frozen_layout(const std::vector<FrozenTensor>& tensors, int world_size, int64_t alignment) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> bytes;
  for (const FrozenTensor& tensor : tensors) {
    bytes.emplace_back(tensor.name, tensor.shape);
    bytes.back().second.push_back(static_cast<int64_t>(c10::elementSize(tensor.type)));
  }
  return flat_layout(bytes, world_size, alignment);
}

FrozenFlat::FrozenFlat(const std::vector<FrozenTensor>& tensors, const Group& group, int64_t alignment,
                       at::Device device, const Fill& fill)
    : described_(tensors), layout_(frozen_layout(tensors, group.size(), alignment)) {
  const c10::NoGradGuard no_grad;
  const at::Tensor flat = at::zeros({layout_.padded}, at::TensorOptions(device).dtype(at::kByte));
  if (fill) fill(views(flat));
  shard_ = own_shard(flat, layout_, group);
  whole_ = GatheredFlat(shard_, layout_.padded, at::kByte, group.size() == 1);
  // with version counters of their own: gathering anew is no change of what a kept graph saw
  for (const at::Tensor& view : views(whole_.whole())) tensors_.push_back(view.variable_data());
  whole_.empty();
}

std::vector<at::Tensor> FrozenFlat::views(const at::Tensor& bytes) const {
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < described_.size(); ++i)
    result.push_back(
        view_of(bytes, layout_.parameters[i]).flatten().view(described_[i].type).view(described_[i].shape));
  return result;
}

std::vector<at::Tensor> FrozenFlat::gathered(const Group& group) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor flat = at::empty({layout_.padded}, shard_.options());
  group.all_gather(flat, shard_).wait();
  return views(flat);
}

}  // namespace mmada
