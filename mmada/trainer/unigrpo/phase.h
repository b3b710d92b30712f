// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/trainer/metrics.h"
#include "mmada/trainer/unigrpo/rollout.h"

namespace mmada {

/// What an outer step learns from, whole in every process: the updates of it need nothing else.
struct RolloutPhase {
  int64_t outer_step = 0;
  std::vector<Response> responses = {};                ///< without their pictures, group by group
  std::vector<std::optional<double>> advantages = {};  ///< none: left out of the updates
  MetricValues metrics = {};                           ///< of rollouts and rewards
  std::vector<std::string> notices = {};               ///< of rewards that failed
  /// log p of the tokens that have a loss in each update, in policy_rows' order over all responses [N], under
  /// the policy that answered and under the reference (where there is one). Empty until they are computed.
  std::vector<at::Tensor> old = {}, reference = {};
};

Json response_json(const Response& response);
Response parse_response(const Json& json, const std::string& source, const std::string& path);

/// All of it but the metrics and notices, exactly.
Json phase_json(const RolloutPhase& phase);
RolloutPhase parse_phase(const Json& json, const std::string& source, const std::string& path);

}  // namespace mmada
