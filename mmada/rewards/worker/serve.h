// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "mmada/rewards/reward.h"

namespace mmada {

/// The worker's side of what ProcessReward says (process_reward.h): makes the reward, greets, and answers one
/// batch after the other until the other side is gone. Returns the program's exit status; 2 where the program
/// was started by hand, without a descriptor.
///
/// When the other side dies in the middle of a batch, the process and what it started are ended a second
/// later, whatever the reward is doing.
int serve_reward(const char* program, const std::function<std::unique_ptr<Reward>()>& make);

}  // namespace mmada
