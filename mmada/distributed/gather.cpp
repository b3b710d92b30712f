// SPDX-License-Identifier: MIT
#include "mmada/distributed/gather.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace mmada {
namespace {

std::vector<int64_t> lengths_of(const Group& group, int64_t own) {
  const at::Tensor lengths = at::empty({group.size()}, at::kLong);
  group.all_gather(lengths, at::full({1}, own, at::kLong)).wait();
  return {lengths.const_data_ptr<int64_t>(), lengths.const_data_ptr<int64_t>() + group.size()};
}

}  // namespace

at::Tensor gather_rows(const Group& group, const at::Tensor& own_N) {
  const std::vector<int64_t> lengths = lengths_of(group, own_N.numel());
  const int64_t longest = *std::ranges::max_element(lengths);
  const at::Tensor padded = at::zeros({longest}, own_N.options());
  padded.narrow(0, 0, own_N.numel()).copy_(own_N);
  const at::Tensor all = at::empty({group.size() * longest}, own_N.options());
  if (longest > 0) group.all_gather(all, padded).wait();
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < lengths.size(); ++i)
    parts.push_back(all.narrow(0, static_cast<int64_t>(i) * longest, lengths[i]));
  return at::cat(parts);
}

std::vector<std::string> gather_bytes(const Group& group, const std::string& own) {
  const at::Tensor bytes = at::empty({std::ssize(own)}, at::kByte);
  if (!own.empty()) std::memcpy(bytes.mutable_data_ptr(), own.data(), own.size());
  const std::vector<int64_t> lengths = lengths_of(group, bytes.numel());
  const at::Tensor all = gather_rows(group, bytes);
  std::vector<std::string> result;
  const auto* at = static_cast<const char*>(all.const_data_ptr());
  for (const int64_t length : lengths) {
    result.emplace_back(at, static_cast<size_t>(length));
    at += length;
  }
  return result;
}

}  // namespace mmada
