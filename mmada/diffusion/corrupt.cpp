// SPDX-License-Identifier: MIT
#include "mmada/diffusion/corrupt.h"

#include <algorithm>
#include <cmath>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr int kRowBits = 20;  // a stream number is step * 2^20 + row

NoisedRow start(const Row& row) {
  NoisedRow noised;
  noised.ids = row.ids;
  noised.clean = row.ids;
  noised.valid = row.valid;
  noised.image = row.image;
  noised.answer_length = static_cast<int64_t>(
      row.prompt.empty() ? row.ids.size() : std::count(row.prompt.begin(), row.prompt.end(), false));
  return noised;
}

int64_t integer_between(Rng& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng.below(static_cast<uint64_t>(high - low) + 1));
}

/// A rectangle of about `count` slots, as the reference draws it.
std::vector<int64_t> rectangle(int64_t rows, int64_t columns, int64_t count, Rng& rng) {
  const int64_t height = integer_between(rng, (count + columns - 1) / columns, std::min(rows, count));
  const int64_t width = std::min(columns, (count + height - 1) / height);
  const int64_t top = integer_between(rng, 0, rows - height);
  const int64_t left = integer_between(rng, 0, columns - width);
  std::vector<int64_t> slots;
  for (int64_t y = top; y < top + height; ++y)
    for (int64_t x = left; x < left + width; ++x) slots.push_back(y * columns + x);
  return slots;
}

std::vector<int64_t> draw_slots(const ImageNoise& noise, int64_t slots, int64_t count, Rng& rng) {
  if (noise.contiguous_probability > 0 && rng.uniform() < noise.contiguous_probability) {
    const int64_t columns =
        noise.grid_columns > 0 ? noise.grid_columns : std::llround(std::sqrt(static_cast<double>(slots)));
    MMADA_CHECK(slots % columns == 0 && (noise.grid_columns > 0 || columns * columns == slots),
                "masking a rectangle: found ", slots, " image tokens, expected rows of ", columns,
                " tokens (set grid_columns)");
    return rectangle(slots / columns, columns, count, rng);
  }
  std::vector<int64_t> order = rng.permutation(slots);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

NoisedRow noise_image_row(const TokenLayout& layout, const Row& row, const ImageNoise& noise, double t,
                          Rng& rng) {
  const int64_t slots = row.image.size();
  MMADA_CHECK(slots >= 1, "noising an image row: found no image slots, expected at least one");
  NoisedRow noised = start(row);
  const double time = noise.time_exponent == 1.0 ? t : std::pow(t, noise.time_exponent);
  const double ratio = std::max(noise.schedule(time), noise.min_masking_rate);
  // nearbyint rounds halves to even, as torch.round does
  const auto wanted = static_cast<int64_t>(std::nearbyint(static_cast<double>(slots) * ratio));
  const int64_t count = std::clamp<int64_t>(wanted, 1, slots);
  const std::vector<int64_t> masked = draw_slots(noise, slots, count, rng);
  for (const int64_t slot : masked) noised.ids[row.image.begin + slot] = layout.mask;
  noised.mask_probability = static_cast<double>(masked.size()) / static_cast<double>(slots);
  for (int64_t i = row.image.begin; i < row.image.end; ++i)
    if (noise.predict_all_tokens || noised.ids[i] == layout.mask) noised.predicted.push_back(i);
  return noised;
}

NoisedRow noise_text_row(const TokenLayout& layout, const Row& row, const TextNoise& noise, double t,
                         Rng& rng) {
  NoisedRow noised = start(row);
  noised.mask_probability = (1.0 - noise.floor) * t + noise.floor;
  for (size_t i = 0; i < row.ids.size(); ++i) {
    const bool masked =
        rng.uniform() < noised.mask_probability;  // drawn for prompts too: their length shifts nothing
    if (!masked || (!row.prompt.empty() && row.prompt[i])) continue;
    noised.ids[i] = layout.mask;
    noised.predicted.push_back(static_cast<int64_t>(i));
  }
  return noised;
}

std::vector<double> draw_times(uint64_t seed, const std::string& flow, int64_t step, int64_t rows,
                               bool stratified) {
  std::vector<double> times(rows);
  if (!stratified) {
    for (int64_t i = 0; i < rows; ++i) times[i] = row_stream(seed, "time", flow, step, i).uniform();
    return times;
  }
  Rng rng(seed, "time/" + flow, static_cast<uint64_t>(step));
  const double shift = rng.uniform();
  const std::vector<int64_t> order = rng.permutation(rows);
  for (int64_t i = 0; i < rows; ++i) {
    const double t = shift + static_cast<double>(order[i]) / static_cast<double>(rows);
    times[i] = t < 1.0 ? t : t - 1.0;
  }
  return times;
}

Rng row_stream(uint64_t seed, const std::string& purpose, const std::string& flow, int64_t step,
               int64_t row) {
  MMADA_CHECK(row >= 0 && row < (int64_t{1} << kRowBits), "random stream of a row: found row ", row,
              ", expected 0 to ", (int64_t{1} << kRowBits) - 1);
  return {seed, purpose + "/" + flow, static_cast<uint64_t>(step) << kRowBits | static_cast<uint64_t>(row)};
}

}  // namespace mmada
