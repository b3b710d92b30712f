// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>
#include <vector>

namespace mmada {

/// Tensors on their way to the host. Behind a GPU's work the copy runs when its turn comes; nothing waits
/// before wait() does.
class HostCopy {
 public:
  /// Starts the copy of what the tensors hold at this point of their device's stream.
  explicit HostCopy(const std::vector<at::Tensor>& from);
  /// The copies, as soon as they have arrived.
  const std::vector<at::Tensor>& wait();

 private:
  std::vector<at::Tensor> to_;
  std::optional<c10::Event> arrived_;  ///< none where the source is the host's memory
};

}  // namespace mmada
