// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "mmada/diffusion/losses.h"
#include "mmada/model/config.h"

namespace mmada {

/// Model FLOPs of learning from these rows: three times those of the forward pass that reads the targets'
/// positions (Work, WorkPlan::flops); what is computed anew does not count. The head counts the ids that each
/// target's softmax runs over. The group has a target.
double training_flops(const TransformerConfig& config, const RowGroup& group);

/// The most memory that was in use at one time, in bytes. On the CPU that of this process (its resident set,
/// libraries included); elsewhere what tensors held of the device. 0 where nothing tells.
int64_t peak_memory_bytes(c10::Device device);

}  // namespace mmada
