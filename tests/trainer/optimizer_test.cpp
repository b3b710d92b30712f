// SPDX-License-Identifier: MIT
#include "mmada/trainer/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace {

using namespace mmada;

std::vector<TrainedTensor> parameters(at::ScalarType type = at::kFloat) {
  const auto make = [&](double shift, at::IntArrayRef shape) {
    return (at::arange(6, at::kFloat).sin() + shift).reshape(shape).to(type).set_requires_grad(true);
  };
  return {trained_whole({"wte", make(0.1, {2, 3}), ParameterKind::kEmbedding}),
          trained_whole({"norm", make(0.2, {6}), ParameterKind::kNorm}),
          trained_whole({"linear", make(0.3, {3, 2}), ParameterKind::kLinear})};
}

at::Tensor gradient(const at::Tensor& like, int step) {
  return (at::arange(like.numel(), at::kFloat) * 0.7 + step)
      .cos()
      .reshape(like.sizes())
      .to(like.scalar_type());
}

/// AdamW in fp64, as its paper writes it.
struct Oracle {
  std::vector<double> w, m, v;
  void step(const at::Tensor& grad, int t, double lr, double decay, const AdamWOptions& o) {
    const at::Tensor g = grad.to(at::kDouble).flatten().contiguous();
    m.resize(w.size()), v.resize(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      const double gi = g.data_ptr<double>()[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * gi;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * gi * gi;
      const double mh = m[i] / (1 - std::pow(o.beta1, t)), vh = v[i] / (1 - std::pow(o.beta2, t));
      w[i] = w[i] * (1 - lr * decay) - lr * mh / (std::sqrt(vh) + o.epsilon);
    }
  }
};

Oracle oracle_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).flatten().contiguous();
  return {{flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()}, {}, {}};
}

double worst_error(const Oracle& oracle, const at::Tensor& found) {
  const at::Tensor expected = at::tensor(oracle.w, at::kDouble);
  return (found.detach().to(at::kDouble).flatten() - expected).abs().max().item<double>();
}

void set_gradients(AdamW& optimizer, int step) {
  for (const TrainedTensor& p : optimizer.parameters()) p.tensor.mutable_grad() = gradient(p.tensor, step);
}

}  // namespace

TEST_CASE("updates equal AdamW in double precision, norms undecayed unless the reference is asked for") {
  for (const bool reference : {false, true}) {
    AdamWOptions options;
    options.learning_rate = 0.02, options.weight_decay = 0.3;
    options.decay_norms = options.decay_embeddings = reference;
    AdamW optimizer(parameters(), options);
    std::vector<Oracle> oracles;
    for (const TrainedTensor& p : optimizer.parameters()) oracles.push_back(oracle_of(p.tensor));
    for (int step = 1; step <= 20; ++step) {
      const double factor = 1.0 / step;
      set_gradients(optimizer, step);
      for (size_t i = 0; i < oracles.size(); ++i) {
        const TrainedTensor& p = optimizer.parameters()[i];
        const bool decayed = reference || p.kind == ParameterKind::kLinear;
        oracles[i].step(p.tensor.grad(), step, 0.02 * factor, decayed ? 0.3 : 0.0, options);
      }
      optimizer.step(factor);
    }
    for (size_t i = 0; i < oracles.size(); ++i)
      CHECK(worst_error(oracles[i], optimizer.parameters()[i].tensor) < 2e-6);
  }
}

TEST_CASE("lower-precision parameters follow fp32 masters, which keep steps too small for them") {
  AdamWOptions options;
  options.learning_rate = 1e-4, options.weight_decay = 0.0;
  AdamW optimizer(parameters(at::kBFloat16), options);
  const auto master = [&] {
    for (const CheckpointTensor& state : optimizer.state())
      if (state.name == "linear" && state.kind == "master") return state.tensor;
    throw std::runtime_error("no linear/master");
  };
  const at::Tensor before = master().clone();
  for (int step = 1; step <= 50; ++step) {
    for (const TrainedTensor& p : optimizer.parameters()) p.tensor.mutable_grad() = at::ones_like(p.tensor);
    optimizer.step(1.0);
  }
  CHECK((before - master() - 50e-4).abs().max().item<double>() < 1e-5);
  CHECK(at::equal(optimizer.parameters()[2].tensor.detach(), master().to(at::kBFloat16)));
}

TEST_CASE("the gradient norm spans all parameters and shows what is not finite") {
  AdamW optimizer(parameters(), {});
  set_gradients(optimizer, 3);
  double squares = 0;
  for (const TrainedTensor& p : optimizer.parameters())
    squares += p.tensor.grad().to(at::kDouble).square().sum().item<double>();
  CHECK(optimizer.grad_norm() == Approx(std::sqrt(squares)));
  optimizer.scale_gradients(0.5);
  CHECK(optimizer.grad_norm() == Approx(0.5 * std::sqrt(squares)));
  optimizer.parameters()[1].tensor.mutable_grad()[0] = std::numeric_limits<float>::infinity();
  CHECK_FALSE(std::isfinite(optimizer.grad_norm()));
  optimizer.zero_grad();
  CHECK(optimizer.grad_norm() == 0.0);
}

TEST_CASE("averaged weights follow the trained ones and stand in only while asked to") {
  AdamWOptions options;
  options.learning_rate = 0.1, options.ema_decay = 0.9, options.ema_warmup = false;
  AdamW optimizer(parameters(), options);
  const at::Tensor tensor = optimizer.parameters()[2].tensor;
  at::Tensor expected = tensor.detach().clone();
  for (int step = 1; step <= 5; ++step) {
    set_gradients(optimizer, step);
    optimizer.step(1.0);
    expected = 0.9 * expected + 0.1 * tensor.detach();
  }
  const at::Tensor trained = tensor.detach().clone();
  at::Tensor seen;
  optimizer.with_ema([&] { seen = tensor.detach().clone(); });
  CHECK(at::allclose(seen, expected, 1e-6, 1e-7));
  CHECK_FALSE(at::equal(seen, trained));
  CHECK(at::equal(tensor.detach(), trained));
  CHECK_THROWS(optimizer.with_ema([] { throw std::runtime_error("x"); }));
  CHECK(at::equal(tensor.detach(), trained));
}
