// SPDX-License-Identifier: MIT
#include "mmada/ops/conv3x3.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "mmada/core/check.h"
#include "tests/support/tensors.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

namespace mmada {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

struct Operands {
  explicit Operands(int64_t channels = 32)
      : x(random_tensor({2, channels, 9, 14}, 1).contiguous(kChannelsLast)),
        weight(random_tensor({48, channels, 3, 3}, 2) / std::sqrt(9.0 * static_cast<double>(channels))),
        bias(random_tensor({48}, 3)) {}
  at::Tensor exact() const {
    return at::conv2d(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble), 1, 1);
  }
  at::Tensor x, weight, bias;
};

}  // namespace

TEST_CASE("conv3x3 is a convolution for whatever layout the picture and the weights have") {
  const Operands o;
  REQUIRE(conv3x3_has_kernel(o.x, o.weight));
  for (const at::Tensor& x :
       {o.x, o.x.contiguous(), o.x.flip(3).flip(3), o.x.transpose(2, 3).contiguous().transpose(2, 3)})
    for (const at::Tensor& weight : {o.weight, o.weight.contiguous(kChannelsLast)})
      CHECK(max_difference(conv3x3(x, weight, o.bias), o.exact()) < 1e-5);
}

TEST_CASE("conv3x3 writes into a given picture and adds to one") {
  const Operands o;
  at::Tensor out = at::full({2, 48, 9, 14}, NAN).contiguous(kChannelsLast);
  conv3x3_out(out, o.x, o.weight, o.bias);
  CHECK(out.equal(conv3x3(o.x, o.weight, o.bias)));
  const at::Tensor before = random_tensor({2, 48, 9, 14}, 4).contiguous(kChannelsLast);
  at::Tensor sum = before.clone();
  conv3x3_add(sum, o.x, o.weight, o.bias);
  CHECK(sum.allclose(before + out, 1e-6, 1e-6));
}

TEST_CASE("conv3x3 takes what the kernel does not") {
  const Operands o(5);
  CHECK(!conv3x3_has_kernel(o.x, o.weight));
  CHECK(max_difference(conv3x3(o.x, o.weight, o.bias), o.exact()) < 1e-5);
  const at::Tensor half =
      conv3x3(o.x.to(at::kBFloat16), o.weight.to(at::kBFloat16), o.bias.to(at::kBFloat16));
  CHECK(half.scalar_type() == at::kBFloat16);
}

TEST_CASE("conv3x3 has the gradients of a convolution") {
  const Operands o;
  for (const at::Tensor& t : {o.x, o.weight, o.bias}) t.requires_grad_(true);
  const at::Tensor output_gradient = random_tensor({2, 48, 9, 14}, 5);
  conv3x3(o.x, o.weight, o.bias).backward(output_gradient);
  const std::vector<at::Tensor> found = {o.x.grad().clone(), o.weight.grad().clone(), o.bias.grad().clone()};
  for (const at::Tensor& t : {o.x, o.weight, o.bias}) t.mutable_grad().reset();
  at::conv2d(o.x, o.weight, o.bias, 1, 1).backward(output_gradient);
  CHECK(found[0].allclose(o.x.grad(), 1e-4, 1e-4));
  CHECK(found[1].allclose(o.weight.grad(), 1e-4, 1e-4));
  CHECK(found[2].allclose(o.bias.grad(), 1e-4, 1e-4));
}

TEST_CASE("conv3x3 refuses results of another shape or layout") {
  const Operands o;
  at::Tensor small = at::empty({2, 48, 9, 13}).contiguous(kChannelsLast), planes = at::empty({2, 48, 9, 14});
  CHECK_THROWS_AS(conv3x3_out(small, o.x, o.weight, o.bias), Error);
  CHECK_THROWS_AS(conv3x3_out(planes, o.x, o.weight, o.bias), Error);
  CHECK_THROWS_AS(conv3x3_add(planes, o.x, o.weight.narrow(1, 0, 16), o.bias), Error);
}

}  // namespace mmada
