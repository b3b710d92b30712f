// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"

namespace mmada {

/// Final answers, compared as numbers and fractions (math_answer.h):
///   {"type": "math", "correct": 2.0, "wrong": 0.0, "verify": false, ...}
/// With "verify" the answers that this cannot judge, such as expressions in LaTeX, go in one batch to a
/// worker (ProcessReward) that knows computer algebra: share/mmada/math_equality.py with Python's
/// math-verify, or the command "worker". It is started when the first such answer comes. The worker gets the
/// final answer as "response", in dollar signs where it was taken from a \boxed{} or behind "####", else the
/// text behind the reasoning; the reference as "answer"; a score above 0 means equal, null that it
/// cannot tell, upon which the reward abstains. Without "verify" what
/// cannot be judged is wrong. "startup_seconds", "timeout_seconds" and "workers" are those of
/// process_reward.h.
std::unique_ptr<Reward> make_math_reward(Fields fields);

}  // namespace mmada
