// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "mmada/model/checkpoint.h"
#include "mmada/model/checkpoint_reader.h"

namespace mmada::vision {

/// The network that make(options) returns without weights, with those of a directory's safetensors files,
/// which must be its parameters() by name and shape, `tolerated` names aside: otherwise one error lists every
/// missing, unexpected and misshapen tensor before memory is asked for. fp32 without a dtype in `options`.
template <class Make>
auto load_network(const std::string& directory, Make&& make, const std::vector<std::string>& tolerated,
                  const LoadOptions& options) {
  const CheckpointReader reader(directory, [](const std::string& name) { return name; });
  std::vector<ExpectedTensor> expected;
  for (const auto& [name, tensor] : make(at::TensorOptions(at::kFloat).device(at::kMeta)).parameters())
    expected.push_back({name, tensor.sizes().vec()});
  reader.check(expected, tolerated);
  const at::ScalarType dtype = options.dtype.empty() ? at::kFloat : scalar_type_from_name(options.dtype);
  auto network = make(at::TensorOptions(dtype).device(device_from_name(options.device)));
  reader.read(network.parameters());
  return network;
}

}  // namespace mmada::vision
