// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mmada {

/// A named, counter-based random stream: its n-th number depends on (seed, name, stream, n) alone.
///
/// Streams with different names or stream numbers are independent, so that adding a consumer never shifts
/// another's numbers, and a stream's whole state is its counter, which is what a checkpoint stores.
class Rng {
 public:
  Rng(uint64_t seed, std::string_view name, uint64_t stream = 0);

  uint32_t next_u32();
  uint64_t next_u64();
  /// Uniform in [0, 1) with 53 random bits.
  double uniform();
  /// Uniform integer in [0, bound), without modulo bias. bound >= 1.
  uint64_t below(uint64_t bound);
  /// Standard normal (Box-Muller, one number per call).
  double normal();
  /// A uniformly random permutation of 0..n-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n);

  /// Numbers of 32 bits drawn so far; set_position moves the stream there in O(1).
  uint64_t position() const { return position_; }
  void set_position(uint64_t position) { position_ = position; }

 private:
  uint64_t key_;
  uint64_t stream_;
  uint64_t position_ = 0;
};

/// Key of a named stream: FNV-1a of the name mixed with the seed.
uint64_t stream_key(uint64_t seed, std::string_view name);

}  // namespace mmada
