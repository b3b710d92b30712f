// SPDX-License-Identifier: MIT
// A thread takes whole rows. A row passes through the first-level cache once, a segment at a time: widened,
// guided and banned into a small buffer, then its peaks and its sums in lanes that vectorise.
#include "kernels/select/select.h"

#include <algorithm>

namespace mmada::kernels {

namespace {

constexpr int64_t kSegment = 1024;  // columns
constexpr int kLanes = 16;
constexpr int kIds = 4;                  // of a Philox block
constexpr int kStretch = kLanes * kIds;  // ids whose noise is drawn together

/// Columns of one row, in fp32, from a multiple of kIds on: -inf stands before the first column and behind
/// the last, up to a multiple of kStretch.
struct Segment {
  alignas(64) float x[kSegment + 2 * kStretch];
  int64_t size = 0;      ///< up to the last column
  int32_t first_id = 0;  ///< of x[0]
};

template <class T, bool kDifferenceForm>
[[gnu::always_inline]] inline void guide(const T* uncond, float guidance, int64_t count, float* x) {
  for (int64_t c = 0; c < count; ++c)
    x[c] = x[c] == -INFINITY ? x[c] : mix_guided(x[c], to_float(uncond[c]), guidance, kDifferenceForm);
}

template <class T>
[[gnu::always_inline]] inline void widen(const SelectStatisticsParams& p, int64_t offset, int64_t lead,
                                         Segment& s) {
  const T* logits = static_cast<const T*>(p.logits) + offset;
  float* x = s.x + lead;
  const int64_t count = s.size - lead;
  for (int64_t c = 0; c < count; ++c) x[c] = to_float(logits[c]);
  if (p.uncond == nullptr) return;
  const T* uncond = static_cast<const T*>(p.uncond) + offset;
  if (p.difference_form)
    guide<T, true>(uncond, p.guidance, count, x);
  else
    guide<T, false>(uncond, p.guidance, count, x);
}

inline void ban(const uint32_t* bits, Segment& s) {
  for (int64_t word = s.first_id / 32; word * 32 < s.first_id + s.size; ++word) {
    for (uint32_t left = bits[word]; left != 0; left &= left - 1) {
      const int64_t column = word * 32 + __builtin_ctz(left) - s.first_id;
      if (column >= 0 && column < s.size) s.x[column] = -INFINITY;
    }
  }
}

/// Largest, second largest and the first place of the largest.
[[gnu::always_inline]] inline void find_peaks(const Segment& s, int64_t padded, SelectState& state) {
  float largest[kLanes], second[kLanes];
  int32_t place[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) largest[lane] = second[lane] = -INFINITY, place[lane] = INT32_MAX;
  for (int64_t c = 0; c < padded; c += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float x = s.x[c + lane];
      const float lower = x < largest[lane] ? x : largest[lane];
      second[lane] = lower > second[lane] ? lower : second[lane];
      place[lane] = x > largest[lane] ? static_cast<int32_t>(c) + lane : place[lane];
      largest[lane] = x > largest[lane] ? x : largest[lane];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    state.second = std::max({state.second, std::min(state.largest, largest[lane]), second[lane]});
    if (largest[lane] > state.largest || (largest[lane] == state.largest && place[lane] < state.id))
      state.id = place[lane];
    state.largest = std::max(state.largest, largest[lane]);
  }
}

[[gnu::always_inline]] inline void add_exponentials(const Segment& s, int64_t padded, SelectState& state) {
  float sum[kLanes] = {}, weighted[kLanes] = {};
  for (int64_t c = 0; c < padded; c += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      float gap = s.x[c + lane] - state.largest;
      gap = gap < -87.3f ? -87.3f : gap;  // -inf times its exponential would be NaN
      const float e = vector_exp(gap);
      sum[lane] += e;
      weighted[lane] += e * gap;
    }
  }
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane)
      sum[lane] += sum[lane + width], weighted[lane] += weighted[lane + width];
  state.sum = sum[0], state.weighted = weighted[0];
}

template <class T>
[[gnu::always_inline]] inline void read_segment(const SelectStatisticsParams& p, int64_t offset, int64_t lead,
                                                Segment& s, SelectState& state) {
  std::fill(s.x, s.x + lead, -INFINITY);
  widen<T>(p, offset, lead, s);
  if (p.banned_bits != nullptr) ban(p.banned_bits, s);
  const int64_t padded = (s.size + kStretch - 1) / kStretch * kStretch;
  std::fill(s.x + s.size, s.x + padded, -INFINITY);
  find_peaks(s, padded, state);
  if (state.largest == -INFINITY) {  // everything is banned or NaN
    for (int64_t c = 0; c < s.size; ++c)
      if (s.x[c] != s.x[c]) state.sum = NAN;
    return;
  }
  add_exponentials(s, padded, state);
  state.id += s.first_id;
  state.score = state.logit = state.largest;
}

MMADA_SIMD_CLONES void read_segment_f32(const SelectStatisticsParams& p, int64_t offset, int64_t lead,
                                        Segment& s, SelectState& state) {
  read_segment<float>(p, offset, lead, s, state);
}
MMADA_SIMD_CLONES void read_segment_bf16(const SelectStatisticsParams& p, int64_t offset, int64_t lead,
                                         Segment& s, SelectState& state) {
  read_segment<BFloat16>(p, offset, lead, s, state);
}

/// Every kIds-th of the numbers.
[[gnu::always_inline]] inline void gumbel_lanes(const uint32_t* bits, float* noise) {
  float made[kLanes];  // apart from the scattered store: that would keep the logarithms scalar
  for (int lane = 0; lane < kLanes; ++lane)
    made[lane] = -vector_log(-vector_log(open_unit_float(bits[lane])));
  for (int lane = 0; lane < kLanes; ++lane) noise[lane * kIds] = made[lane];
}

/// Standard Gumbel noise of kStretch ids, those of Philox blocks block ... block + kLanes - 1.
[[gnu::always_inline]] inline void draw_noise(const NoiseRow& row, uint32_t block, float* noise) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    c0[lane] = block + lane, c1[lane] = row.position, c2[lane] = row.step, c3[lane] = row.stream;
  philox4x32_lanes<kLanes>(row.key, c0, c1, c2, c3);
  gumbel_lanes(c0, noise);
  gumbel_lanes(c1, noise + 1);
  gumbel_lanes(c2, noise + 2);
  gumbel_lanes(c3, noise + 3);
}

[[gnu::always_inline]] inline float largest_of_stretch(const float* x) {
  float largest[kLanes];  // one for each lane: a single running maximum would be a chain of scalars
  for (int lane = 0; lane < kLanes; ++lane) largest[lane] = x[lane];
  for (int i = kLanes; i < kStretch; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      largest[lane] = x[i + lane] > largest[lane] ? x[i + lane] : largest[lane];
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane)
      largest[lane] = largest[lane + width] > largest[lane] ? largest[lane + width] : largest[lane];
  return largest[0];
}

/// The best of x + temperature * noise in one stretch of the segment.
[[gnu::always_inline]] inline void choose_in_stretch(const Segment& s, int64_t begin, const NoiseRow& row,
                                                     float temperature, SelectState& state) {
  float score[kStretch];
  draw_noise(row, static_cast<uint32_t>((s.first_id + begin) / kIds), score);
  for (int i = 0; i < kStretch; ++i) score[i] = s.x[begin + i] + temperature * score[i];
  if (largest_of_stretch(score) < state.score) return;
  for (int i = 0; i < kStretch; ++i) {
    const auto id = static_cast<int32_t>(s.first_id + begin + i);
    if (score[i] > state.score || (score[i] == state.score && id < state.id))
      state.score = score[i], state.logit = s.x[begin + i], state.id = id;
  }
}

/// The best of x + noise. Ids that can reach neither the best so far nor `bar`, the best of other segments,
/// draw none.
MMADA_SIMD_CLONES void choose_noisy(const SelectStatisticsParams& p, const Segment& s, const NoiseRow& row,
                                    float bar, SelectState& state) {
  const int64_t peak = (state.id - s.first_id) / kStretch * kStretch;
  state.score = -INFINITY;
  choose_in_stretch(s, peak, row, p.temperature, state);
  for (int64_t begin = 0; begin < s.size; begin += kStretch) {
    const float reachable = largest_of_stretch(s.x + begin) + p.temperature * kLargestGumbel;
    if (begin == peak || reachable < state.score || reachable < bar) continue;
    choose_in_stretch(s, begin, row, p.temperature, state);
  }
}

SelectState row_state(const SelectStatisticsParams& p, int64_t n) {
  NoiseRow noise;
  if (p.temperature > 0) noise = {*p.token_key, p.positions_N[n], p.steps_N[n], p.streams_N[n]};
  const auto read = p.type == FloatType::kF32 ? read_segment_f32 : read_segment_bf16;
  SelectState whole;
  Segment segment;
  for (int64_t begin = 0; begin < p.columns; begin += kSegment) {
    const int64_t lead = (p.first_id + begin) % kIds;
    segment.size = lead + std::min(kSegment, p.columns - begin);
    segment.first_id = static_cast<int32_t>(p.first_id + begin - lead);
    SelectState part;
    read(p, n * p.row_stride + begin, lead, segment, part);
    if (p.temperature > 0 && part.largest != -INFINITY) choose_noisy(p, segment, noise, whole.score, part);
    whole = merge(whole, part);
  }
  return whole;
}

}  // namespace

Status select_statistics(const SelectStatisticsParams& p, const Context& context) {
  if (p.rows < 0 || p.columns < 1 || p.first_id < 0 || p.row_stride < 0 || p.first_slot < 0 ||
      p.first_slot >= p.slots || !(p.temperature >= 0) ||
      !noise_is_complete(p, p.temperature > 0, p.token_key))
    return Status::kInvalid;
  if (p.type == FloatType::kF16 || p.first_id + p.columns > INT32_MAX - kIds) return Status::kUnsupported;
  context.for_chunks(p.rows, [&](int64_t n) { p.states[n * p.slots + p.first_slot] = row_state(p, n); });
  return Status::kOk;
}

Status select_finish(const SelectFinishParams& p, const Context&) {
  if (p.rows < 0 || p.slots < 1 ||
      !noise_is_complete(p, p.confidence == SelectConfidence::kRandom, p.random_key))
    return Status::kInvalid;
  for (int64_t n = 0; n < p.rows; ++n) finish_row(p, n);
  return Status::kOk;
}

}  // namespace mmada::kernels
