// SPDX-License-Identifier: MIT
#include "mmada/trainer/adversarial_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/trainer/adversary.h"
#include "tests/support/tensors.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

using mmada::AdversarialKind;
using mmada::Lecam;

namespace {

constexpr AdversarialKind kKinds[] = {AdversarialKind::kHinge, AdversarialKind::kVanilla,
                                      AdversarialKind::kNonSaturating};

at::Tensor logits(uint64_t seed) { return mmada::random_tensor({3, 1, 4, 5}, seed).to(at::kDouble) * 2; }

double mean(const at::Tensor& x, const std::function<double(double)>& f) {
  const at::Tensor values = x.contiguous();
  double sum = 0;
  for (int64_t i = 0; i < values.numel(); ++i) sum += f(values.const_data_ptr<double>()[i]);
  return sum / static_cast<double>(values.numel());
}
double softplus(double x) { return std::log(1 + std::exp(x)); }
at::Tensor picture_means(const at::Tensor& x) {
  at::Tensor means = at::empty({x.size(0)}, at::kDouble);
  for (int64_t b = 0; b < x.size(0); ++b) means[b] = mean(x[b], [](double v) { return v; });
  return means;
}

double discriminator_oracle(AdversarialKind kind, const at::Tensor& real, const at::Tensor& fake) {
  const auto relu = [](double v) { return v > 0 ? v : 0; };
  if (kind == AdversarialKind::kHinge)
    return (mean(real, [&](double v) { return relu(1 - v); }) +
            mean(fake, [&](double v) { return relu(1 + v); })) /
           2;
  const auto of = [](const at::Tensor& r, const at::Tensor& f) {
    return mean(r, [](double v) { return softplus(-v); }) + mean(f, softplus);
  };
  return kind == AdversarialKind::kVanilla ? of(real, fake) / 2
                                           : of(picture_means(real), picture_means(fake));
}

double generator_oracle(AdversarialKind kind, const at::Tensor& fake) {
  if (kind == AdversarialKind::kNonSaturating)
    return mean(picture_means(fake), [](double v) { return softplus(-v); });
  return -mean(fake, [](double v) { return v; });
}

/// Largest difference of the gradient of loss() in x from central differences.
double gradient_error(const at::Tensor& x, const std::function<at::Tensor()>& loss) {
  x.mutable_grad() = at::Tensor();
  loss().backward();
  const at::NoGradGuard no_grad;
  double largest = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    double* value = x.mutable_data_ptr<double>() + i;
    const double before = *value, step = 1e-6;
    *value = before + step;
    const double above = loss().item<double>();
    *value = before - step;
    const double below = loss().item<double>();
    *value = before;
    largest =
        std::max(largest, std::abs(x.grad().flatten()[i].item<double>() - (above - below) / (2 * step)));
  }
  return largest;
}

}  // namespace

TEST_CASE("adversarial losses equal their definitions in double precision") {
  const at::Tensor real = logits(1), fake = logits(2);
  for (const AdversarialKind kind : kKinds) {
    CHECK(mmada::discriminator_loss(kind, real, fake).item<double>() ==
          Approx(discriminator_oracle(kind, real, fake)).epsilon(1e-12));
    CHECK(mmada::generator_loss(kind, fake).item<double>() ==
          Approx(generator_oracle(kind, fake)).epsilon(1e-12));
  }
}

TEST_CASE("gradients of the adversarial losses and of LeCam agree with finite differences") {
  const at::Tensor real = logits(1).requires_grad_(true), fake = logits(2).requires_grad_(true);
  Lecam lecam(0.5);
  lecam.update(real.detach() + 0.3, fake.detach());
  for (const AdversarialKind kind : kKinds) {
    CHECK(gradient_error(real, [&] { return mmada::discriminator_loss(kind, real, fake); }) < 1e-8);
    CHECK(gradient_error(fake, [&] { return mmada::discriminator_loss(kind, real, fake); }) < 1e-8);
    CHECK(gradient_error(fake, [&] { return mmada::generator_loss(kind, fake); }) < 1e-8);
  }
  CHECK(gradient_error(real, [&] { return lecam.penalty(real, fake); }) < 1e-8);
  CHECK(gradient_error(fake, [&] { return lecam.penalty(real, fake); }) < 1e-8);
}

TEST_CASE("LeCam's averages start at 0, decay, and set the penalty") {
  Lecam lecam(0.9);
  double real_average = 0, fake_average = 0;
  for (const uint64_t seed : {1u, 2u, 3u}) {
    lecam.update(logits(seed), logits(seed + 10));
    real_average = 0.9 * real_average + 0.1 * mean(logits(seed), [](double v) { return v; });
    fake_average = 0.9 * fake_average + 0.1 * mean(logits(seed + 10), [](double v) { return v; });
  }
  CHECK(lecam.real() == Approx(real_average).epsilon(1e-12));
  CHECK(lecam.fake() == Approx(fake_average).epsilon(1e-12));
  const auto square_above_0 = [](double v) { return v > 0 ? v * v : 0; };
  CHECK(lecam.penalty(logits(5), logits(6)).item<double>() ==
        Approx(mean(logits(5), [&](double v) { return square_above_0(v - fake_average); }) +
               mean(logits(6), [&](double v) { return square_above_0(real_average - v); }))
            .epsilon(1e-12));
}

TEST_CASE("LeCam's averages come back from their saved state to the last bit") {
  Lecam lecam(0.999), other(0.999);
  for (uint64_t seed = 0; seed < 7; ++seed) lecam.update(logits(seed), logits(seed + 20));
  const mmada::Json read = mmada::parse_json(lecam.state().dump(), "state");
  other.restore(mmada::Fields(read, "state"));
  CHECK(other.real() == lecam.real());
  CHECK(other.fake() == lecam.fake());
  const mmada::Json half = {{"real", 0.5}};
  CHECK_THROWS_AS(other.restore(mmada::Fields(half, "state")), mmada::Error);
}

TEST_CASE("logits that are not finite leave LeCam's averages as they were") {
  Lecam lecam(0.5);
  lecam.update(logits(1), logits(2));
  const double before = lecam.real();
  lecam.update(at::full({1, 1}, std::numeric_limits<double>::quiet_NaN()), logits(2));
  lecam.update(logits(1), at::full({1, 1}, std::numeric_limits<double>::infinity()));
  CHECK(lecam.real() == before);
}

TEST_CASE(
    "the adaptive weight is the ratio of the gradients at the last layer, bounded and without gradient") {
  const at::Tensor last = at::tensor({1.0, 2.0}, at::kDouble).requires_grad_(true);
  const at::Tensor reconstruction = (last * at::tensor({3.0, 4.0}, at::kDouble)).sum();  // norm 5
  const at::Tensor adversarial = (last * 0.5).square().sum();  // gradient last / 2, norm sqrt(5) / 2
  const at::Tensor weight = mmada::adaptive_weight(reconstruction, adversarial, last);
  CHECK(weight.item<double>() == Approx(5 / (std::sqrt(5.0) / 2 + 1e-4)).epsilon(1e-12));
  CHECK_FALSE(weight.requires_grad());
  CHECK_FALSE(last.grad().defined());
  (reconstruction + weight * adversarial).backward();  // both graphs are still there
  CHECK(mmada::adaptive_weight(1e6 * last.sum(), 0 * last.sum(), last).item<double>() == 1e4);
}

TEST_CASE("the adversary's two sides train what is theirs") {
  mmada::AdversarialOptions options;
  options.discriminator = {.channels = 4, .layers = 2};
  options.start_step = 3;
  options.adaptive = true;
  mmada::Adversary adversary(options, at::kFloat, 1);
  CHECK_FALSE(adversary.active(2));
  CHECK(adversary.active(3));
  for (const auto& parameter : adversary.parameters()) parameter.tensor.set_requires_grad(true);
  const at::Tensor image = mmada::random_tensor({2, 3, 24, 24}, 4);
  const at::Tensor last = at::full({1}, 0.5).requires_grad_(true);
  const at::Tensor decoded = image * last;
  mmada::MetricValues parts;
  adversary.generator_term(decoded, (decoded - image).abs().mean(), last, &parts).backward();
  CHECK(last.grad().abs().item<double>() > 0);
  for (const auto& parameter : adversary.parameters()) CHECK_FALSE(parameter.tensor.grad().defined());
  last.mutable_grad().zero_();
  const at::Tensor again = image * last;
  adversary.discriminator_term(image, again, &parts).backward();
  CHECK(last.grad().abs().item<double>() == 0);
  for (const auto& parameter : adversary.parameters()) CHECK(parameter.tensor.grad().defined());
  std::vector<std::string> names;
  for (const auto& [name, value] : parts) names.push_back(name);
  CHECK(names == std::vector<std::string>{"loss/adversarial", "adversarial_weight", "loss/discriminator",
                                          "discriminator/real", "discriminator/fake", "loss/lecam"});
}

TEST_CASE("the adversary's terms are its losses of the discriminator's logits, estimates moved first") {
  for (const AdversarialKind kind : kKinds) {
    mmada::AdversarialOptions options;
    options.kind = kind;
    options.weight = 0.3;
    options.lecam = 2.0;
    options.lecam_decay = 0.5;
    options.discriminator = {.channels = 4, .layers = 2};
    mmada::Adversary adversary(options, at::kDouble, 9);
    mmada::PatchDiscriminator same(options.discriminator, at::kDouble);
    initialize(same, 9);
    const at::Tensor image = mmada::random_tensor({2, 3, 24, 24}, 4).to(at::kDouble);
    const at::Tensor decoded = mmada::random_tensor({2, 3, 24, 24}, 5).to(at::kDouble);
    const at::Tensor real = same.forward(image), fake = same.forward(decoded);
    Lecam lecam(0.5);
    lecam.update(real, fake);
    mmada::MetricValues parts;
    CHECK(adversary.generator_term(decoded, {}, {}, &parts).item<double>() ==
          Approx(0.3 * mmada::generator_loss(kind, fake).item<double>()).epsilon(1e-4));
    CHECK(adversary.discriminator_term(image, decoded, &parts).item<double>() ==
          Approx((mmada::discriminator_loss(kind, real, fake) + 2 * lecam.penalty(real, fake)).item<double>())
              .epsilon(1e-4));
    CHECK(adversary.state()["lecam"]["real"].get<double>() == Approx(lecam.real()).epsilon(1e-4));
  }
}
