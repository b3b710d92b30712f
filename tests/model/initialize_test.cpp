// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/model/transformer.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

TransformerConfig config() {
  TransformerConfig result;
  result.d_model = 64;
  result.n_layers = 3;
  result.n_heads = result.n_kv_heads = 2;
  result.mlp_hidden_size = 160;
  result.vocab_size = 300;
  return result;
}

std::map<std::string, at::Tensor> fresh(const InitOptions& options) {
  Transformer model(config(), at::kFloat);
  initialize(model, options);
  std::map<std::string, at::Tensor> tensors;
  for (const NamedParameter& parameter : model.parameters())
    tensors[parameter.name.substr(std::string("model.transformer.").size())] = parameter.tensor;
  return tensors;
}

// A normal cut at three sigma keeps 98.66 % of its standard deviation.
constexpr double kCutStd = 0.98658;

void check_std(const at::Tensor& tensor, double expected) {
  CHECK(tensor.std().item<double>() == Approx(expected).epsilon(0.03));
  CHECK(std::abs(tensor.mean().item<double>()) < 0.05 * expected);
}

}  // namespace

TEST_CASE("mitchell draws truncated normals whose width follows fan-in and depth") {
  const auto tensors = fresh({.seed = 1});
  check_std(tensors.at("wte.weight"), kCutStd / 8);
  check_std(tensors.at("ff_out.weight"), kCutStd / 8);
  check_std(tensors.at("blocks.1.q_proj.weight"), kCutStd / 8);
  check_std(tensors.at("blocks.0.attn_out.weight"), kCutStd / 8 / std::sqrt(2.0));
  check_std(tensors.at("blocks.2.attn_out.weight"), kCutStd / 8 / std::sqrt(6.0));
  check_std(tensors.at("blocks.2.ff_out.weight"), kCutStd / std::sqrt(160.0) / std::sqrt(6.0));
  CHECK(tensors.at("wte.weight").abs().max().item<double>() <= 3.0 / 8 + 1e-7);
  CHECK(at::equal(tensors.at("blocks.1.attn_norm.weight"), at::ones({64})));
  CHECK(at::equal(tensors.at("ln_f.weight"), at::ones({64})));
}

TEST_CASE("the other methods have their published widths") {
  const auto megatron = fresh({.method = "full_megatron"});
  check_std(megatron.at("blocks.0.q_proj.weight"), kCutStd * 0.02);
  check_std(megatron.at("blocks.0.ff_out.weight"), kCutStd * 0.02 / std::sqrt(6.0));
  check_std(megatron.at("ff_out.weight"), kCutStd / 8);
  check_std(fresh({.method = "normal", .init_std = 0.05}).at("blocks.0.ff_out.weight"), 0.05);
  check_std(fresh({.method = "kaiming_normal"}).at("blocks.0.ff_out.weight"), std::sqrt(2.0 / 160));
  check_std(fresh({.method = "fan_in"}).at("blocks.0.ff_out.weight"), 1 / std::sqrt(160.0));
  CHECK_THROWS_WITH(fresh({.method = "xavier"}), Catch::Contains("xavier") && Catch::Contains("mitchell"));
}

TEST_CASE("embedding width and zero output projections override the method") {
  const auto tensors = fresh({.embedding_std = 1.0, .zero_output_projections = true});
  check_std(tensors.at("wte.weight"), 1.0);
  CHECK(tensors.at("blocks.1.attn_out.weight").abs().max().item<double>() == 0);
  CHECK(tensors.at("blocks.1.ff_out.weight").abs().max().item<double>() == 0);
  check_std(tensors.at("ff_out.weight"), kCutStd / 8);
  check_std(tensors.at("blocks.1.ff_proj.weight"), kCutStd / 8);
}

TEST_CASE("a parameter's values depend on seed and name alone") {
  const auto a = fresh({.seed = 1}), b = fresh({.seed = 1}), other = fresh({.seed = 2});
  for (const auto& [name, tensor] : a) {
    CHECK(at::equal(tensor, b.at(name)));
    if (tensor.dim() == 2) CHECK_FALSE(at::equal(tensor, other.at(name)));
  }
  CHECK_FALSE(at::equal(a.at("blocks.0.q_proj.weight"), a.at("blocks.1.q_proj.weight")));
  TransformerConfig deeper = config();
  deeper.n_layers = 5;
  Transformer model(deeper, at::kFloat);
  initialize(model, {.seed = 1});
  CHECK(at::equal(model.parameters()[2].tensor, a.at("blocks.0.q_proj.weight")));
}

}  // namespace mmada
