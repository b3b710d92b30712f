// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"

namespace mmada::kernels::attention {

/// Results of the parts of split keys: fp32 out [splits, H, total queries, D], logsumexp [splits, H, total
/// queries].
struct Partial {
  int splits = 1;
  float* out = nullptr;
  float* logsumexp = nullptr;
};

/// Parts the keys are cut into. One block per 64 queries and head leaves most of a GPU idle when there are
/// few queries: cut until there are about as many blocks as an H100 has multiprocessors, but leave every part
/// at least four tiles of keys. A constant instead of the device's own count, so that results are the same
/// everywhere.
inline int splits_of(const AttentionParams& p) {
  constexpr int64_t kMultiprocessors = 132, kTileRows = 64, kMinTiles = 4, kMaxSplits = 16;
  const int64_t blocks = (p.queries + kTileRows - 1) / kTileRows * p.heads * p.batch;
  const int64_t tiles = (p.keys + kTileRows - 1) / kTileRows;
  if (blocks <= 0) return 1;
  int64_t splits = kMultiprocessors / blocks;
  splits = splits < tiles / kMinTiles ? splits : tiles / kMinTiles;
  splits = splits < kMaxSplits ? splits : kMaxSplits;
  return static_cast<int>(splits > 1 ? splits : 1);
}

inline Partial partial_of(const AttentionParams& p, const Context& context) {
  const int splits = splits_of(p);
  auto* out = static_cast<float*>(context.workspace);
  return {splits, out, out + splits * p.heads * p.total_queries * p.head_dim};
}

/// What every CUDA entry point refuses.
inline Status check(const AttentionParams& p, size_t workspace, size_t wanted) {
  constexpr int64_t kMaxLength = INT32_MAX - 64, kMaxGrid = 65535;
  const bool packed = p.query_offsets_B1 != nullptr;
  if (p.batch < 0 || p.queries < 0 || p.keys < 0 || p.heads < 1 || p.key_heads < 1 ||
      p.heads % p.key_heads != 0 || !(p.scale > 0) || packed != (p.key_offsets_B1 != nullptr) ||
      (packed && p.query_positions_BQ != nullptr) || (!packed && p.total_queries != p.batch * p.queries) ||
      p.query_groups < 1 || p.queries_per_group < 0 ||
      (p.queries_per_group == 0 ? p.query_groups != 1 : p.query_groups * p.queries_per_group < p.queries))
    return Status::kInvalid;
  if (p.queries > kMaxLength || p.keys > kMaxLength || p.heads > kMaxGrid || p.batch > kMaxGrid)
    return Status::kUnsupported;
  if (p.type == FloatType::kF32 || (p.head_dim != 64 && p.head_dim != 128)) return Status::kUnsupported;
  constexpr int64_t kAligned = 8;  // elements: 16 bytes
  for (const AttentionStrides& s : {p.q_strides, p.k_strides, p.v_strides, p.out_strides})
    if (s.row % kAligned != 0 || s.token % kAligned != 0 || s.head % kAligned != 0)
      return Status::kUnsupported;
  for (const void* pointer : {p.q, p.k, p.v, static_cast<const void*>(p.out)})
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) return Status::kUnsupported;
  return workspace < wanted ? Status::kWorkspaceTooSmall : Status::kOk;
}

}  // namespace mmada::kernels::attention
