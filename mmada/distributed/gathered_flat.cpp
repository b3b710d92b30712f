// SPDX-License-Identifier: MIT
#include "mmada/distributed/gathered_flat.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace mmada {
namespace {

void fill_storage(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<size_t>(tensor.numel()) * tensor.itemsize();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

void empty_storage(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(c10::DataPtr(nullptr, tensor.device()));
  storage->set_nbytes(0);
}

}  // namespace

GatheredFlat::GatheredFlat(const at::Tensor& shard, int64_t padded, at::ScalarType type, bool resident)
    : resident_(resident || padded == 0),
      whole_(resident_ ? shard.detach()
                       : at::empty({padded}, shard.options().dtype(type).requires_grad(false))) {}

int64_t GatheredFlat::bytes() const {
  return resident_ ? 0 : whole_.numel() * static_cast<int64_t>(whole_.itemsize());
}

void GatheredFlat::start(const Group& group, const at::Tensor& shard) {
  if (resident_) return;
  const c10::NoGradGuard no_grad;
  fill_storage(whole_);
  sent_ = shard.detach().to(whole_.scalar_type());
  gather_ = group.all_gather(whole_, sent_);
}

void GatheredFlat::finish() {
  if (!sent_.defined()) return;
  gather_.wait();
  sent_ = at::Tensor();
}

void GatheredFlat::empty() {
  if (!resident_) empty_storage(whole_);
}

at::Tensor own_shard(const at::Tensor& flat, const FlatLayout& layout, const Group& group) {
  return group.size() == 1 ? flat : flat.narrow(0, group.rank() * layout.shard, layout.shard).clone();
}

at::Tensor view_of(const at::Tensor& flat, const FlatParameter& parameter) {
  return flat.narrow(0, parameter.begin, parameter.numel).view(parameter.shape);
}

}  // namespace mmada
