// SPDX-License-Identifier: MIT
#include "kernels/common/philox.h"

namespace mmada::kernels {

std::array<uint32_t, 4> philox4x32(uint64_t key, const std::array<uint32_t, 4>& counter) {
  std::array<uint32_t, 4> out{};
  philox4x32(key, counter.data(), out.data());
  return out;
}

}  // namespace mmada::kernels
