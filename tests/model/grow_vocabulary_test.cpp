// SPDX-License-Identifier: MIT
// The statistics of new vocabulary rows; tests/model/grow_vocabulary_test.py has whole checkpoints.
#include "mmada/model/grow_vocabulary.h"

#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <limits>

#include "mmada/model/checkpoint.h"
#include "tests/formats/expect_error.h"
#include "tests/support/memory_meter.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

/// V rows with unequal scales, a mean that is not zero, and correlated columns.
at::Tensor old_rows(int64_t rows, int64_t width) {
  Rng rng(11, "old rows");
  at::Tensor result_VD = at::empty({rows, width}, at::kDouble);
  auto* out = result_VD.mutable_data_ptr<double>();
  for (int64_t v = 0; v < rows; ++v) {
    double previous = 0;
    for (int64_t d = 0; d < width; ++d) {
      previous = 0.7 * previous + rng.normal();
      out[v * width + d] = 0.3 * static_cast<double>(d) + static_cast<double>(1 + d % 3) * previous;
    }
  }
  return result_VD;
}

/// Mean and covariance over V (not V - 1) by plain loops.
struct Moments {
  std::vector<double> mean, covariance;
};
Moments moments_of(const at::Tensor& rows_VD) {
  const int64_t rows = rows_VD.size(0), width = rows_VD.size(1);
  const auto* x = rows_VD.const_data_ptr<double>();
  Moments m{std::vector<double>(width), std::vector<double>(width * width)};
  for (int64_t v = 0; v < rows; ++v)
    for (int64_t d = 0; d < width; ++d) m.mean[d] += x[v * width + d] / static_cast<double>(rows);
  for (int64_t v = 0; v < rows; ++v)
    for (int64_t i = 0; i < width; ++i)
      for (int64_t j = 0; j < width; ++j)
        m.covariance[i * width + j] +=
            (x[v * width + i] - m.mean[i]) * (x[v * width + j] - m.mean[j]) / static_cast<double>(rows);
  return m;
}

}  // namespace

TEST_CASE("new rows have the mean and 1e-9 times the covariance of the old ones") {
  constexpr int64_t kOld = 2500, kNew = 5000, kWidth = 7;  // more than one part of both
  const at::Tensor old_VD = old_rows(kOld, kWidth);
  Rng rng(3, "new rows");
  const NewRows added = draw_new_rows(old_VD, kNew, rng, "wte");
  REQUIRE(added.positive_definite);
  REQUIRE(added.rows_ND.sizes() == at::IntArrayRef({kNew, kWidth}));
  const Moments old = moments_of(old_VD), found = moments_of(added.rows_ND);
  for (int64_t i = 0; i < kWidth; ++i) {
    // Six standard deviations of a mean and of a covariance of kNew normal samples
    const double variance = 1e-9 * old.covariance[i * kWidth + i];
    CHECK(std::abs(found.mean[i] - old.mean[i]) < 6 * std::sqrt(variance / kNew));
    for (int64_t j = 0; j < kWidth; ++j) {
      const double other = 1e-9 * old.covariance[j * kWidth + j],
                   cross = 1e-9 * old.covariance[i * kWidth + j];
      CHECK(std::abs(found.covariance[i * kWidth + j] - cross) <
            6 * std::sqrt((variance * other + cross * cross) / kNew));
    }
  }
}

TEST_CASE("rows whose covariance is not positive definite get their mean as new rows") {
  at::Tensor old_VD = old_rows(50, 5);
  old_VD.select(1, 2).fill_(0.25);  // no variance in one column
  Rng rng(3, "new rows");
  const NewRows added = draw_new_rows(old_VD, 4, rng, "wte");
  CHECK_FALSE(added.positive_definite);
  const Moments old = moments_of(old_VD);
  for (int64_t n = 0; n < 4; ++n)
    for (int64_t d = 0; d < 5; ++d)
      CHECK(added.rows_ND[n][d].item<double>() == Approx(old.mean[d]).epsilon(1e-13));
}

TEST_CASE("a whole checkpoint grows with one of its tensors in memory") {
  const std::string folder = fresh_folder("memory");
  Model model{.transformer = Transformer({.d_model = 64,
                                          .n_layers = 12,
                                          .n_heads = 2,
                                          .n_kv_heads = 2,
                                          .mlp_hidden_size = 2048,
                                          .vocab_size = 512,
                                          .max_sequence_length = 16},
                                         at::kFloat),
              .tokenizer = nullptr,
              .layout = {},
              .config = {}};
  Rng rng(5, "weights");
  for (const NamedParameter& parameter : model.transformer.parameters()) {
    const at::Tensor tensor = parameter.tensor;
    for (int64_t i = 0; i < tensor.numel(); ++i)
      tensor.view(-1).mutable_data_ptr<float>()[i] = static_cast<float>(rng.normal());
  }
  save_model(model, folder + "/small");
  const auto meter = std::make_shared<test::TensorMemoryMeter>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    grow_vocabulary(folder + "/small", folder + "/grown", {.vocab_size = 800, .codebook_size = 256});
  }
  // fp64: the old rows twice, the new rows and their noise, and mean, covariance, factor with copies; fp32
  // rows
  const int64_t expected = 8 * (2 * 512 * 64 + 2 * 288 * 64 + 5 * 64 * 64) + 4 * 800 * 64;
  CHECK(meter->peak >= 4 * 2048 * 64);  // the largest tensor, so that the meter meters
  CHECK(meter->peak <= std::max<int64_t>(expected, 4 * 2048 * 64));
  CHECK(std::filesystem::file_size(folder + "/grown/model.safetensors") >
        12 * static_cast<uint64_t>(expected));
}

TEST_CASE("new rows are a function of the stream and of the old rows' values, not of their type") {
  const at::Tensor old_VD = old_rows(50, 5).to(at::kBFloat16);
  Rng first(3, "new rows"), second(3, "new rows"), other(4, "new rows");
  const at::Tensor rows = draw_new_rows(old_VD, 4, first, "wte").rows_ND;
  CHECK(at::equal(rows, draw_new_rows(old_VD.to(at::kDouble), 4, second, "wte").rows_ND));
  CHECK_FALSE(at::equal(rows, draw_new_rows(old_VD, 4, other, "wte").rows_ND));
}

TEST_CASE("a row that is not finite is refused with the matrix's name") {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const at::Tensor old_VD = old_rows(50, 5);
    old_VD.mutable_data_ptr<double>()[17] = bad;
    Rng rng(3, "new rows");
    expect_error([&] { draw_new_rows(old_VD, 4, rng, "transformer.wte.weight"); },
                 {"transformer.wte.weight", "not finite"});
  }
}
