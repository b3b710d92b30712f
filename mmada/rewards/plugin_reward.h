// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"

namespace mmada {

/// A reward in a shared library of the interface plugin_abi.h. The library is never loaded here but by the
/// program mmada-reward-host, a worker (ProcessReward): whatever the library does is a RewardFailure.
///   {"type": "plugin", "library": "reward.so", "config": {...},
///    "startup_seconds": 60, "timeout_seconds": 30, "workers": 1}
/// "config" is handed to the plugin as it is. "host" names another host program.
std::unique_ptr<Reward> make_plugin_reward(Fields fields);

}  // namespace mmada
