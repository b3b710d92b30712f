// SPDX-License-Identifier: MIT
#include <ATen/core/Tensor.h>

#include "mmada/model/checkpoint.h"
#include "mmada/model/checkpoint_reader.h"

namespace mmada {

void load_tensors(const std::string& directory, const std::vector<TensorSlot>& slots,
                  const std::string& prefix, const std::vector<std::string>& tolerated) {
  const CheckpointReader reader(directory, [&](const std::string& name) {
    return !prefix.empty() && name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  });
  std::vector<ExpectedTensor> expected;
  std::vector<std::pair<std::string, at::Tensor>> destinations;
  for (const TensorSlot& slot : slots) {
    expected.push_back({slot.name, slot.destination.sizes().vec()});
    destinations.emplace_back(slot.name, slot.destination);
  }
  reader.check(expected, tolerated);
  reader.read(destinations);
}

}  // namespace mmada
