// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/policy_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace mmada {
namespace {

std::vector<MaskedResponse> copies_of(const Response& response, int64_t number, int64_t update,
                                      const PolicyNoise& noise) {
  const double share =
      noise_shares(noise.levels, noise.seed, noise.outer_step, number)[static_cast<size_t>(update)];
  return mask_response(
      noise.noise, std::ssize(response.tokens), share, response.commit_steps,
      {.seed = noise.seed, .outer_step = noise.outer_step, .response = number, .update = update});
}

PolicyRow row_of(const Response& response, int64_t number, const MaskedResponse& copy,
                 const TokenLayout& layout) {
  PolicyRow row{.response = number, .ids = response.ids, .picture = response.picture};
  for (const int64_t i : copy.masked) row.ids[response.tokens[i]] = layout.mask;
  for (const int64_t i : copy.scored) {
    row.positions.push_back(response.tokens[i]);
    row.targets.push_back(response.ids[response.tokens[i]]);
  }
  return row;
}

PolicyPass join(std::span<const PolicyRow> rows, const TokenLayout& layout) {
  PolicyPass pass;
  pass.rows.offsets = {0};
  pass.first = rows.front().first;
  std::vector<int64_t> ids, positions, targets, numbers, responses;
  std::vector<double> weights;
  const auto close_window = [&](bool picture) {
    pass.targets.push_back({.window = picture ? layout.code_window() : layout.text_window(),
                            .ids_N = at::tensor(targets, at::kLong)});
    targets.clear();
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    const PolicyRow& row = rows[i];
    if (i > 0 && rows[i - 1].picture != row.picture) close_window(rows[i - 1].picture);
    for (const int64_t position : row.positions)
      positions.push_back(static_cast<int64_t>(ids.size()) + position);
    targets.insert(targets.end(), row.targets.begin(), row.targets.end());
    weights.insert(weights.end(), row.targets.size(), row.weight);
    numbers.insert(numbers.end(), row.targets.size(), static_cast<int64_t>(i));
    responses.insert(responses.end(), row.targets.size(), row.response);
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    pass.rows.offsets.push_back(std::ssize(ids));
  }
  close_window(rows.back().picture);
  pass.rows.ids_BT = at::tensor(ids, at::kLong).unsqueeze(0);
  pass.positions_N = at::tensor(positions, at::kLong);
  pass.weights_N = at::tensor(weights, at::kDouble);
  pass.rows_N = at::tensor(numbers, at::kLong);
  pass.responses_N = at::tensor(responses, at::kLong);
  return pass;
}

}  // namespace

std::vector<PolicyRow> policy_rows(std::span<const Response> responses,
                                   std::span<const std::optional<double>> advantages, Span span,
                                   int64_t update, const PolicyNoise& noise, const PolicyWeighting& weighting,
                                   const TokenLayout& layout) {
  std::vector<PolicyRow> rows;
  int64_t all_rows = 0, all_tokens = 0;
  for (int64_t i = 0; i < std::ssize(responses); ++i) {
    if (!advantages[i] || responses[i].tokens.empty()) continue;
    for (const MaskedResponse& copy : copies_of(responses[i], i, update, noise)) {
      if (span.contains(i)) {
        rows.push_back(row_of(responses[i], i, copy, layout));
        rows.back().first = all_tokens;
      }
      ++all_rows, all_tokens += std::ssize(copy.scored);
    }
  }
  for (PolicyRow& row : rows) {
    const auto own =
        weighting.by_response_length ? responses[row.response].tokens.size() : row.targets.size();
    row.weight = weighting.aggregation == LossAggregation::kToken
                     ? 1.0 / static_cast<double>(all_tokens)
                     : 1.0 / (static_cast<double>(all_rows) * static_cast<double>(own));
  }
  return rows;
}

std::vector<PolicyPass> policy_passes(std::span<const PolicyRow> rows, int64_t tokens,
                                      const TokenLayout& layout) {
  std::vector<PolicyPass> passes;
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin;
    for (int64_t length = 0; end < rows.size(); ++end) {
      length += std::ssize(rows[end].ids);
      if (end > begin && length > tokens) break;
    }
    passes.push_back(join(rows.subspan(begin, end - begin), layout));
    begin = end;
  }
  return passes;
}

}  // namespace mmada
