// SPDX-License-Identifier: MIT
#pragma once

#include <c10/util/Registry.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace mmada {

/// Collectives of a kind of device that libmmada.so knows nothing of: libmmada_cuda.so registers NCCL's.
class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;
  virtual c10::intrusive_ptr<c10d::Backend> connect(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                    int size, std::chrono::milliseconds timeout) const = 0;
};

/// By the name of the kind of device, "cuda".
C10_DECLARE_REGISTRY(DeviceBackends, DeviceBackend);

}  // namespace mmada
