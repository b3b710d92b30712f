// SPDX-License-Identifier: MIT
#include <torch/csrc/cuda/nccl.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "mmada/core/check.h"
#include "mmada/distributed/device_backend.h"

namespace mmada {

namespace {

class NcclBackend : public DeviceBackend {
 public:
  c10::intrusive_ptr<c10d::Backend> connect(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            std::chrono::milliseconds timeout) const override {
    // the options hold NCCL's own configuration, whose size its version decides
    const std::uint64_t version = torch::cuda::nccl::version();
    const std::uint64_t major = version >> 32, minor = version >> 16 & 0xFFFF;
    MMADA_CHECK(major == NCCL_MAJOR && minor == NCCL_MINOR, "process group: found NCCL ", major, ".", minor,
                ", expected ", NCCL_MAJOR, ".", NCCL_MINOR, ", which this library was compiled for");
    const auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  }
};

}  // namespace

C10_REGISTER_TYPED_CLASS(DeviceBackends, std::string("cuda"), NcclBackend);

}  // namespace mmada
