// SPDX-License-Identifier: MIT
#include "mmada/generation/plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace mmada {
namespace {

int64_t rows_of(const ForwardRequest& request) { return request.paired_ids.empty() ? 1 : 2; }

int64_t reads_of(const ForwardRequest& request) {
  return rows_of(request) * static_cast<int64_t>(request.positions.size());
}

/// Requests in head order: by window, then as given.
std::vector<size_t> ordered_by_window(const std::vector<ForwardRequest>& requests,
                                      std::vector<size_t> members) {
  std::stable_sort(members.begin(), members.end(), [&](size_t a, size_t b) {
    const Window &x = requests[a].window, &y = requests[b].window;
    return std::pair(x.begin, x.end) < std::pair(y.begin, y.end);
  });
  return members;
}

std::vector<HeadSlice> slice_heads(const std::vector<ForwardRequest>& requests,
                                   const std::vector<size_t>& members) {
  std::vector<HeadSlice> heads;
  int64_t read = 0;
  for (const size_t member : members) {
    const ForwardRequest& request = requests[member];
    const int64_t count = reads_of(request);
    if (heads.empty() || heads.back().window != request.window)
      heads.push_back({request.window, {read, read}, {}});
    heads.back().requests.push_back(member);
    heads.back().read.end = read += count;
  }
  return heads;
}

ForwardPlan plan_group(const std::vector<ForwardRequest>& requests, const std::vector<size_t>& group,
                       int64_t pad) {
  const std::vector<size_t> members = ordered_by_window(requests, group);
  int64_t batch = 0, length = 0, reads = 0;
  for (const size_t member : members) {
    batch += rows_of(requests[member]);
    length = std::max(length, static_cast<int64_t>(requests[member].ids.size()));
    reads += reads_of(requests[member]);
  }
  ForwardPlan plan;
  plan.rows.mode = requests[members.front()].attention;
  plan.rows.ids_BT = at::full({batch, length}, pad, at::kLong);
  plan.read_N = at::empty({reads}, at::kLong);
  int64_t* ids = plan.rows.ids_BT.mutable_data_ptr<int64_t>();
  int64_t* read = plan.read_N.mutable_data_ptr<int64_t>();
  int64_t row = 0;
  const auto place = [&](const TokenIds& tokens, Span valid, const std::vector<int64_t>& positions) {
    std::copy(tokens.begin(), tokens.end(), ids + row * length);
    plan.rows.valid.push_back(valid);
    for (const int64_t position : positions) *read++ = row * length + position;
    ++row;
  };
  for (const size_t member : members) {
    const ForwardRequest& request = requests[member];
    place(request.ids, request.valid, request.positions);
    if (!request.paired_ids.empty()) place(request.paired_ids, request.paired_valid, request.positions);
  }
  plan.heads = slice_heads(requests, members);
  return plan;
}

}  // namespace

std::vector<ForwardPlan> make_plans(const std::vector<ForwardRequest>& requests, int64_t pad) {
  std::map<std::pair<AttentionMode, size_t>, std::vector<size_t>> groups;
  for (size_t i = 0; i < requests.size(); ++i) {
    const AttentionMode mode = requests[i].attention;
    groups[{mode, mode == AttentionMode::kHard ? 0 : requests[i].ids.size()}].push_back(i);
  }
  std::vector<ForwardPlan> plans;
  for (const auto& [key, group] : groups) plans.push_back(plan_group(requests, group, pad));
  return plans;
}

}  // namespace mmada
