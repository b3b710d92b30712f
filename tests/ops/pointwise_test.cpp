// SPDX-License-Identifier: MIT
// rms_norm, rope, swiglu and project against the same formulas written with differentiable fp64 operators.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/rms_norm.h"
#include "mmada/ops/rope.h"
#include "mmada/ops/swiglu.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

using Inputs = std::vector<at::Tensor>;
using Op = std::function<at::Tensor(const Inputs&)>;

// Output and gradients of sum(output * fixed weights).
std::vector<at::Tensor> evaluate(const Op& op, const Inputs& inputs, at::ScalarType type) {
  Inputs leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.to(type).clone().set_requires_grad(true));
  const at::Tensor output = op(leaves);
  (output * random_tensor(output.sizes(), 99).to(type)).sum().backward();
  std::vector<at::Tensor> results{output.detach()};
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

void check_op(const Op& op, const Op& plain, const Inputs& inputs, double tolerance) {
  const auto found = evaluate(op, inputs, at::kFloat), exact = evaluate(plain, inputs, at::kDouble);
  for (size_t i = 0; i < exact.size(); ++i) {
    REQUIRE(found[i].sizes() == exact[i].sizes());
    CHECK(max_difference(found[i], exact[i]) <= tolerance * (1 + exact[i].abs().max().item<double>()));
  }
}

at::Tensor plain_rms_norm(const at::Tensor& x, const at::Tensor& weight) {
  return x * (x.square().mean(-1, true) + 1e-5).rsqrt() * weight;
}

// Pairs (j, j + half) turned by pos * theta^(-2j/D), element by element.
at::Tensor plain_rope(const at::Tensor& x_BTHD, double theta) {
  const int64_t tokens = x_BTHD.size(1), half = x_BTHD.size(3) / 2;
  at::Tensor cos = at::empty({tokens, 1, half}, x_BTHD.options().requires_grad(false)),
             sin = at::empty_like(cos);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < half; ++j) {
      const double angle =
          static_cast<double>(t) * std::pow(theta, -static_cast<double>(j) / static_cast<double>(half));
      cos[t][0][j] = std::cos(angle);
      sin[t][0][j] = std::sin(angle);
    }
  const at::Tensor a = x_BTHD.narrow(3, 0, half), b = x_BTHD.narrow(3, half, half);
  return at::cat({a * cos - b * sin, b * cos + a * sin}, 3);
}

}  // namespace

TEST_CASE("rms_norm equals the fp64 formula in value and gradients") {
  for (const auto& shape : std::vector<std::vector<int64_t>>{{1, 1}, {3, 97}, {2, 5, 33}})
    check_op([](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5); },
             [](const Inputs& in) { return plain_rms_norm(in[0], in[1]); },
             {random_tensor(shape, 1).mul_(3), random_tensor({shape.back()}, 2)}, 2e-6);
}

TEST_CASE("add_rms_norm gives the sum and its norm, and one gradient to both addends") {
  check_op(
      [](const Inputs& in) {
        const auto [sum, norm] = add_rms_norm(in[0], in[1], in[2], 1e-5);
        return at::cat({sum, norm}, -1);
      },
      [](const Inputs& in) {
        return at::cat({in[0] + in[1], plain_rms_norm(in[0] + in[1], in[2])}, -1);
      },
      {random_tensor({5, 97}, 1).mul_(3), random_tensor({5, 97}, 2), random_tensor({97}, 3)}, 2e-6);
}

TEST_CASE("fp64 tensors have fp64 results, and gradients by the fp32 root mean square") {
  const auto check = [](const Op& op, const Op& plain, const Inputs& inputs) {
    const auto found = evaluate(op, inputs, at::kDouble), exact = evaluate(plain, inputs, at::kDouble);
    for (size_t i = 0; i < exact.size(); ++i)
      CHECK(max_difference(found[i], exact[i]) < (i == 0 ? 1e-12 : 1e-5));
  };
  const at::Tensor x = random_tensor({4, 33}, 1), y = random_tensor({4, 33}, 2);
  check([](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5); },
        [](const Inputs& in) { return plain_rms_norm(in[0], in[1]); }, {x, random_tensor({33}, 3)});
  check([](const Inputs& in) { return add_rms_norm(in[0], in[1], in[2], 1e-5).norm; },
        [](const Inputs& in) { return plain_rms_norm(in[0] + in[1], in[2]); },
        {x, y, random_tensor({33}, 3)});
  check([](const Inputs& in) { return swiglu(in[0], in[1]); },
        [](const Inputs& in) { return in[0] / (1 + at::exp(-in[0])) * in[1]; }, {x, y});
  const RopeTable table = rope_table(7, 6, 500.0, at::kCPU);
  check([&](const Inputs& in) { return rope(in[0], table); },
        [&](const Inputs& in) {
          const at::Tensor a = in[0].narrow(3, 0, 3), b = in[0].narrow(3, 3, 3);
          const at::Tensor cos = table.cos.unsqueeze(1), sin = table.sin.unsqueeze(1);
          return at::cat({a * cos - b * sin, b * cos + a * sin}, 3);
        },
        {random_tensor({2, 7, 3, 6}, 1)});
}

TEST_CASE("operands that lie in memory with gaps give what dense ones give") {
  const at::Tensor x = random_tensor({8, 66}, 1).narrow(1, 3, 33), y = random_tensor({33, 8}, 2).t();
  const at::Tensor weight = random_tensor({66}, 3).slice(0, 0, 66, 2);
  CHECK(at::equal(swiglu(x, y), swiglu(x.contiguous(), y.contiguous())));
  CHECK(at::equal(add_rms_norm(x, y, weight, 1e-5).norm,
                  add_rms_norm(x.contiguous(), y.contiguous(), weight.contiguous(), 1e-5).norm));
  const at::Tensor q = random_tensor({2, 3, 7, 6}, 4).transpose(1, 2);
  const RopeTable table = rope_table(7, 6, 500.0, at::kCPU);
  CHECK(at::equal(rope(q, table), rope(q.contiguous(), table)));
}

TEST_CASE("rms_norm rounds to the input's type before it multiplies by the weight") {
  const at::Tensor x = random_tensor({64, 48}, 1).to(at::kBFloat16);
  const at::Tensor weight = random_tensor({48}, 2).to(at::kBFloat16);
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor rounded =
      (wide * (wide.square().mean(-1, true) + 1e-5).rsqrt()).to(at::kBFloat16) * weight;
  const at::Tensor found = rms_norm(x, weight, 1e-5);
  CHECK(found.scalar_type() == at::kBFloat16);
  CHECK((found != rounded).sum().item<int64_t>() <= 2);  // the two means may differ in the last bit
}

TEST_CASE("rope turns the halves of every head by position, and its gradient turns back") {
  check_op([](const Inputs& in) { return rope(in[0], rope_table(7, 6, 500.0, at::kCPU)); },
           [](const Inputs& in) { return plain_rope(in[0], 500.0); }, {random_tensor({2, 7, 3, 6}, 1)}, 1e-6);
  CHECK_THROWS_AS(rope(random_tensor({2, 7, 3, 6}, 1), rope_table(6, 6, 500.0, at::kCPU)), Error);
  for (const int32_t outside : {-1, 6})
    CHECK_THROWS_WITH(rope(random_tensor({2, 3, 6}, 1), rope_table(6, 6, 500.0, at::kCPU),
                           at::tensor({5, outside}, at::kInt)),
                      Catch::Contains("of token 1, expected a row of the table, 0 to 5"));
}

TEST_CASE("swiglu equals silu(gate) * up in value and gradients") {
  check_op([](const Inputs& in) { return swiglu(in[0], in[1]); },
           [](const Inputs& in) { return in[0] / (1 + at::exp(-in[0])) * in[1]; },
           {random_tensor({5, 33}, 1).mul_(4), random_tensor({5, 33}, 2)}, 1e-6);
}

TEST_CASE("project equals the matrix product in value and gradients, for batches and views") {
  check_op([](const Inputs& in) { return project(in[0], in[1]); },
           [](const Inputs& in) { return at::matmul(in[0], in[1].t()); },
           {random_tensor({3, 11, 24}, 1), random_tensor({17, 24}, 2)}, 2e-6);
  check_op([](const Inputs& in) { return project(in[0].transpose(0, 1), in[1].narrow(0, 3, 5)); },
           [](const Inputs& in) { return at::matmul(in[0].transpose(0, 1), in[1].narrow(0, 3, 5).t()); },
           {random_tensor({4, 6, 8}, 1), random_tensor({9, 8}, 2)}, 2e-6);
  CHECK(project(at::zeros({0, 8}), random_tensor({9, 8}, 2)).sizes() == at::IntArrayRef({0, 9}));
}

}  // namespace mmada
