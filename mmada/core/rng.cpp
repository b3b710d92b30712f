// SPDX-License-Identifier: MIT
#include "mmada/core/rng.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "kernels/common/philox.h"

namespace mmada {

uint64_t stream_key(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  uint64_t mixed = hash ^ (seed + 0x9E3779B97F4A7C15ull);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
  return mixed ^ (mixed >> 31);
}

Rng::Rng(uint64_t seed, std::string_view name, uint64_t stream)
    : key_(stream_key(seed, name)), stream_(stream) {}

uint32_t Rng::next_u32() {
  const uint64_t block = position_ / 4;
  const auto bits =
      kernels::philox4x32(key_, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                 static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)});
  return bits[position_++ % 4];
}

uint64_t Rng::next_u64() {
  const uint64_t low = next_u32();
  return low | static_cast<uint64_t>(next_u32()) << 32;
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

uint64_t Rng::below(uint64_t bound) {
  const uint64_t rejected = -bound % bound;  // the first 2^64 mod bound values would be drawn once too often
  uint64_t value = next_u64();
  while (value < rejected) value = next_u64();
  return value % bound;
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::vector<int64_t> Rng::permutation(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace mmada
