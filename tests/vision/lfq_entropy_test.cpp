// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <cmath>

#include "mmada/core/check.h"
#include "mmada/vision/lfq.h"
#include "tests/support/tensors.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

using mmada::code_entropy;
using mmada::LfqEntropy;

namespace {

struct Naive {
  at::Tensor per_sample, of_mean;
};

/// The definition in fp64: a softmax over every code of 2 z.c / temperature for every position.
Naive naive(const at::Tensor& latent_BChw, double temperature) {
  const int64_t bits = latent_BChw.size(1);
  const at::Tensor z_NC = latent_BChw.to(at::kDouble).movedim(1, 3).reshape({-1, bits});
  const at::Tensor codes_KC =
      mmada::codes_to_latent(at::arange(1 << bits).view({1, 1, -1}), bits, at::kDouble)[0].flatten(1).t();
  const at::Tensor logp_NK = (2 / temperature * z_NC.matmul(codes_KC.t())).log_softmax(1);
  const at::Tensor p_NK = logp_NK.exp(), mean_K = p_NK.mean(0);
  return {-(p_NK * logp_NK).sum(1).mean(), -at::xlogy(mean_K, mean_K).sum()};
}

/// Latents whose sizes let the entropies at this temperature be anything between 0 and their largest.
at::Tensor latents(int64_t bits, double temperature, uint64_t seed) {
  return mmada::random_tensor({2, bits, 3, 5}, seed).to(at::kDouble) * (0.6 * temperature);
}

}  // namespace

TEST_CASE("the entropies of the whole codebook and their gradients equal a softmax over all codes") {
  for (const int64_t bits : {1, 4, 5, 8})
    for (const double temperature : {0.01, 0.5, 1.0}) {
      INFO(bits << " bits at temperature " << temperature);
      const at::Tensor ours = latents(bits, temperature, 3).requires_grad_(true);
      const at::Tensor theirs = ours.detach().clone().requires_grad_(true);
      const auto found = code_entropy(ours, temperature);
      const Naive expected = naive(theirs, temperature);
      CHECK(found.per_sample.item<double>() == Approx(expected.per_sample.item<double>()).epsilon(1e-12));
      CHECK(found.of_mean.item<double>() == Approx(expected.of_mean.item<double>()).epsilon(1e-8));
      (found.per_sample - 0.7 * found.of_mean).backward();
      (expected.per_sample - 0.7 * expected.of_mean).backward();
      CHECK(mmada::max_difference(ours.grad(), theirs.grad()) <
            1e-10 * theirs.grad().abs().max().item<double>());
    }
}

TEST_CASE("fp32 entropies of the published 13 bits agree with fp64 over all 8192 codes") {
  for (const double scale : {0.005, 0.02, 1.0}) {  // from undecided to certain at the published temperature
    const at::Tensor latent = mmada::random_tensor({1, 13, 4, 6}, 5) * scale;
    const auto found = code_entropy(latent, 0.01);
    const Naive expected = naive(latent, 0.01);
    CHECK(found.per_sample.item<double>() ==
          Approx(expected.per_sample.item<double>()).epsilon(1e-5).margin(1e-6));
    CHECK(found.of_mean.item<double>() == Approx(expected.of_mean.item<double>()).epsilon(1e-5));
  }
}

TEST_CASE("where bits are independent the codes' entropies are the sums of the bits'") {
  const int64_t bits = 6;  // every combination of signs, of one size a channel
  const at::Tensor signs = mmada::codes_to_latent(at::arange(1 << bits).view({1, 8, 8}), bits, at::kFloat);
  const at::Tensor latent = signs * at::linspace(0.1, 0.8, bits).view({1, bits, 1, 1});
  const auto codes = code_entropy(latent, 1.0);
  const double of_bits = mmada::quantize(latent).entropy.item<double>();
  CHECK((codes.per_sample - codes.of_mean).item<double>() ==
        Approx(static_cast<double>(bits) * of_bits).epsilon(1e-5));
  CHECK(codes.of_mean.item<double>() == Approx(static_cast<double>(bits) * std::log(2.0)).epsilon(1e-5));
}

TEST_CASE("bits that copy each other are free for the bits' entropy and cost the codes'") {
  const at::Tensor bit = mmada::random_tensor({4, 1, 8, 8}, 9).sign();
  const at::Tensor latent = bit.expand({4, 5, 8, 8}).contiguous();
  CHECK(mmada::quantize(latent).entropy.item<double>() < -0.5);
  CHECK(code_entropy(latent, 0.01).of_mean.item<double>() == Approx(std::log(2.0)).epsilon(0.02));
}

TEST_CASE("the entropy loss weighs its two terms as it is told") {
  const at::Tensor latent = latents(4, 0.3, 4).to(at::kFloat);
  const auto [per_sample, of_mean] = code_entropy(latent, 0.3);
  const auto loss =
      mmada::quantize(
          latent,
          {.entropy = LfqEntropy::kCodes, .temperature = 0.3, .sample_entropy = 0.25, .batch_entropy = 2.0})
          .entropy;
  CHECK(loss.item<double>() == Approx(0.25 * per_sample.item<double>() - 2.0 * of_mean.item<double>()));
}

TEST_CASE("saturated latents keep the codes' entropy and its gradient finite") {
  const at::Tensor latent = at::full({1, 13, 3, 3}, 60.0f).requires_grad_(true);
  const auto [per_sample, of_mean] = code_entropy(latent, 0.01);
  (per_sample - of_mean).backward();
  CHECK(per_sample.item<double>() == 0);
  CHECK(std::abs(of_mean.item<double>()) < 1e-5);
  CHECK(latent.grad().isfinite().all().item<bool>());
}

TEST_CASE("positions times codes are never in memory") {
  const int64_t side = 128, naive_bytes = side * side * 8192 * 4;  // 512 MiB in one buffer of probabilities
  const at::Tensor latent = (mmada::random_tensor({1, 13, side, side}, 6) * 0.02).requires_grad_(true);
  code_entropy(latent.narrow(2, 0, 1), 0.01)
      .of_mean.backward();  // code pages are there before the measurement
  const int64_t before = mmada::reset_peak_memory();
  const auto [per_sample, of_mean] = code_entropy(latent, 0.01);
  (per_sample - of_mean).backward();
  CHECK(mmada::process_memory("VmHWM") - before < naive_bytes / 4);
}

TEST_CASE("codebook usage counts codes and their perplexity") {
  const auto even = mmada::codebook_usage(at::arange(6).repeat(3).view({2, 3, 3}), 16);
  CHECK(even.used == 6);
  CHECK(even.share == Approx(6.0 / 16));
  CHECK(even.perplexity == Approx(6.0));
  const auto uneven = mmada::codebook_usage(at::tensor({2, 2, 2, 5}, at::kLong), 8);
  CHECK(uneven.used == 2);
  CHECK(uneven.perplexity == Approx(std::exp(-0.75 * std::log(0.75) - 0.25 * std::log(0.25))));
  CHECK_THROWS_AS(mmada::codebook_usage(at::tensor({8}, at::kLong), 8), mmada::Error);
}
