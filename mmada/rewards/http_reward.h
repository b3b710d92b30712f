// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"

namespace mmada {

/// A reward server, asked in the shape of OpenRLHF's remote reward models by the program mmada-reward-http, a
/// worker (ProcessReward):
///   POST {"query": [prompt + response, ...], "prompts": [...], "labels": [reference answers]}
///   200  {"rewards": [0.5, null, ...]}                          null abstains; other keys are not read
/// Where something was drawn the request has "images" too: PNGs as data URLs, null for samples without.
///   {"type": "http", "url": "http://host:port/path", "timeout_seconds": 30,
///    "headers": {"Authorization": "Bearer ..."}}
/// The time limit is for a whole batch, from the name's lookup to the last byte.
std::unique_ptr<Reward> make_http_reward(Fields fields);

}  // namespace mmada
