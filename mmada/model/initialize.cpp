// SPDX-License-Identifier: MIT
// Fresh weights (SPEC 1.6).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/model/initialize.h"

namespace mmada {
namespace {

constexpr double kCut = 3.0;  // truncated normals end at three standard deviations

struct Distribution {
  double std = 0.0;
  bool truncated = false;
};

// One stream per row, so that rows are drawn in parallel and in any process.
void draw(const NamedParameter& parameter, const Distribution& distribution, uint64_t seed) {
  at::Tensor values = at::empty(parameter.tensor.sizes(), at::kFloat);
  const int64_t rows = values.size(0), columns = values.numel() / rows;
  float* data = values.mutable_data_ptr<float>();
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Rng rng(seed, parameter.name, static_cast<uint64_t>(row));
      for (int64_t column = 0; column < columns; ++column) {
        double z = rng.normal();
        while (distribution.truncated && std::abs(z) > kCut) z = rng.normal();
        data[row * columns + column] = static_cast<float>(z * distribution.std);
      }
    }
  });
  parameter.tensor.copy_(values);
}

bool is_output_projection(std::string_view name) {
  return name.find(".blocks.") != name.npos &&
         (name.ends_with(".attn_out.weight") || name.ends_with(".ff_out.weight"));
}

// The block number in "model.transformer.blocks.N.": only called for names of blocks.
int64_t layer_of(const std::string& name) {
  return std::stoll(name.substr(name.find(".blocks.") + std::string_view(".blocks.").size()));
}

Distribution distribution_for(const NamedParameter& parameter, const TransformerConfig& config,
                              const InitOptions& options) {
  if (parameter.kind == ParameterKind::kEmbedding && options.embedding_std > 0)
    return {options.embedding_std, false};
  const auto fan_in = static_cast<double>(parameter.tensor.size(-1));
  const bool output = is_output_projection(parameter.name);
  if (options.method == "mitchell") {
    const double depth = output ? 2.0 * static_cast<double>(layer_of(parameter.name) + 1) : 1.0;
    return {1.0 / std::sqrt(fan_in * depth), true};
  }
  if (options.method == "full_megatron") {
    if (parameter.kind == ParameterKind::kHead)
      return {1.0 / std::sqrt(static_cast<double>(config.d_model)), true};
    return {
        output ? options.init_std / std::sqrt(2.0 * static_cast<double>(config.n_layers)) : options.init_std,
        true};
  }
  if (options.method == "normal") return {options.init_std, false};
  if (options.method == "kaiming_normal") return {std::sqrt(2.0 / fan_in), false};
  MMADA_CHECK(options.method == "fan_in", "initialisation method: found \"", options.method,
              "\", expected mitchell, full_megatron, normal, kaiming_normal or fan_in");
  return {1.0 / std::sqrt(fan_in), false};
}

}  // namespace

void initialize(const NamedParameter& parameter, const TransformerConfig& config,
                const InitOptions& options) {
  const at::NoGradGuard no_grad;
  if (parameter.kind == ParameterKind::kNorm)
    at::Tensor(parameter.tensor).fill_(1);
  else if (options.zero_output_projections && is_output_projection(parameter.name))
    at::Tensor(parameter.tensor).zero_();
  else
    draw(parameter, distribution_for(parameter, config, options), options.seed);
}

void initialize(Transformer& model, const InitOptions& options) {
  for (const NamedParameter& parameter : model.parameters()) initialize(parameter, model.config(), options);
}

}  // namespace mmada
