// SPDX-License-Identifier: MIT
// Where the processes of a run leave each other notes; internal to this folder.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <string>

#include "mmada/distributed/environment.h"

namespace mmada {

using StorePtr = c10::intrusive_ptr<c10d::Store>;

/// A connection of its own to the run's store, whose keys begin with `purpose`. With `serve` rank 0 also
/// serves it, unless torchrun does.
StorePtr connect_store(const ProcessEnvironment& environment, const std::string& purpose,
                       std::chrono::milliseconds timeout, bool serve);

}  // namespace mmada
