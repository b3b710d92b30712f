// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "mmada/core/check.h"

namespace mmada::ops {

/// The address of a random stream's key, an int64 tensor of one number on the op's device, for a kernel that
/// reads it when it runs; null where none is given.
inline const uint64_t* checked_key(const char* op, const char* name, const std::optional<at::Tensor>& key,
                                   at::Device device) {
  if (!key) return nullptr;
  MMADA_CHECK(key->numel() == 1 && key->scalar_type() == at::kLong && key->device() == device, op, ": ", name,
              ": found ", key->scalar_type(), " of shape ", key->sizes(), " on ", key->device(),
              ", expected one int64 on ", device);
  return reinterpret_cast<const uint64_t*>(key->const_data_ptr<int64_t>());
}

}  // namespace mmada::ops
