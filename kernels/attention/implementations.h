// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "kernels/attention/attention.h"

namespace mmada::kernels::attention {

/// One way to run the forward pass.
struct Implementation {
  const char* name;
  int compute_capability;                        ///< 10 x major + minor, at least
  bool (*takes)(const AttentionParams& params);  ///< of calls that check() let pass
  Status (*launch)(const AttentionParams& params, const Context& context);
};

/// Best first. A test forces every entry, whichever of them a GPU would take.
///
/// The place of an entry on wgmma and TMA is before mma.sync, with compute capability 90 and a kernel
/// compiled for sm_90a alone: what it takes (head_dim 128, dense heads, no split) it says in takes(). It
/// needs to have run on a GPU first (ctest -L gpu): the emulator has neither wgmma nor TMA.
std::span<const Implementation> implementations();

/// The first that runs on such a GPU and takes the call; null: none does.
inline const Implementation* first_that_fits(std::span<const Implementation> table, int compute_capability,
                                             const AttentionParams& params) {
  for (const Implementation& entry : table)
    if (compute_capability >= entry.compute_capability && entry.takes(params)) return &entry;
  return nullptr;
}

}  // namespace mmada::kernels::attention
