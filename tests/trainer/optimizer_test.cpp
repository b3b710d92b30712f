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

namespace {

/// A parameter of 1000 elements, or a piece of it.
TrainedTensor piece(int64_t begin, int64_t end) {
  const at::Tensor whole = at::arange(1000, at::kFloat).sin();
  return {"linear",
          whole.slice(0, begin, end).clone().set_requires_grad(true),
          ParameterKind::kLinear,
          {1000},
          begin};
}

void train(AdamW& optimizer, int first, int last) {
  for (int step = first; step < last; ++step) {
    for (const TrainedTensor& p : optimizer.parameters())
      p.tensor.mutable_grad() =
          gradient(at::empty({1000}), step).slice(0, p.offset, p.offset + p.tensor.numel());
    optimizer.step(1.0);
  }
}

const AdamWOptions k8bit{.learning_rate = 0.01, .moments_8bit = true};

}  // namespace

TEST_CASE("moments in 8 bits train nearly as wide ones do, and take a quarter of their memory") {
  AdamW narrow({piece(0, 1000)}, k8bit), wide({piece(0, 1000)}, {.learning_rate = 0.01});
  train(narrow, 1, 41), train(wide, 1, 41);
  const at::Tensor moved = wide.parameters()[0].tensor - piece(0, 1000).tensor;
  const at::Tensor apart = narrow.parameters()[0].tensor - wide.parameters()[0].tensor;
  CHECK(apart.norm().item<double>() < 0.05 * moved.norm().item<double>());
  CHECK(apart.norm().item<double>() > 0);
  const auto bytes = [](const AdamW& optimizer) {
    size_t sum = 0;
    for (const CheckpointTensor& state : optimizer.state())
      if (state.kind != "master") sum += state.tensor.nbytes();
    return sum;
  };
  CHECK(bytes(wide) == 8000);
  CHECK(bytes(narrow) == 2000 + 4 * 8);
}

TEST_CASE("pieces of a parameter that begin where blocks do have the 8-bit moments of the whole") {
  AdamW whole({piece(0, 1000)}, k8bit), pieces({piece(0, 512), piece(512, 1000)}, k8bit);
  train(whole, 1, 6), train(pieces, 1, 6);
  const at::Tensor joined = at::cat({pieces.parameters()[0].tensor, pieces.parameters()[1].tensor});
  CHECK(at::equal(joined, whole.parameters()[0].tensor));
  for (const CheckpointTensor& state : pieces.state())
    for (const CheckpointTensor& all : whole.state())
      if (state.name == all.name && state.kind == all.kind) {
        CHECK(state.shape == all.shape);
        CHECK(
            at::equal(state.tensor, all.tensor.slice(0, state.offset, state.offset + state.tensor.numel())));
      }
}

TEST_CASE("training goes on from 8-bit moments bit for bit") {
  AdamW straight({piece(0, 1000)}, k8bit), first({piece(0, 1000)}, k8bit), second({piece(0, 1000)}, k8bit);
  train(straight, 1, 11), train(first, 1, 6);
  const auto from = first.state(), to = second.state();
  REQUIRE(from.size() == 5);
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor.detach()).copy_(from[i].tensor.detach());
  second.set_steps(first.steps());
  train(second, 6, 11);
  CHECK(at::equal(second.parameters()[0].tensor, straight.parameters()[0].tensor));
}

TEST_CASE("norms keep wide moments, pieces within a block, and fp64, are refused 8-bit ones") {
  const AdamW optimizer(parameters(), k8bit);
  for (const CheckpointTensor& state : optimizer.state())
    if (state.kind != "master")
      CHECK((state.kind == "exp_avg" || state.kind == "exp_avg_sq") == (state.name == "norm"));
  CHECK_THROWS_WITH(AdamW({piece(100, 1000)}, k8bit), Catch::Contains("from element 100"));
  CHECK_THROWS_WITH(AdamW(parameters(at::kDouble), k8bit), Catch::Contains("expected fp32"));
}
