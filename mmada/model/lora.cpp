// SPDX-License-Identifier: MIT
#include "mmada/model/lora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/rng.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

const std::vector<std::string> kProjections = {"q_proj",  "k_proj",  "v_proj", "attn_out",
                                               "ff_proj", "up_proj", "ff_out"};
constexpr std::string_view kBlocks = ".blocks.", kWeight = ".weight";

std::string without(const std::string& name, std::string_view suffix) {
  return name.substr(0, name.size() - suffix.size());
}

/// Every number uniform within 1 / sqrt(I), a stream for each row.
void draw_a(const std::string& name, const at::Tensor& a, uint64_t seed) {
  const at::Tensor values = at::empty(a.sizes(), at::kFloat);
  const double bound = 1.0 / std::sqrt(static_cast<double>(a.size(1)));
  float* data = values.mutable_data_ptr<float>();
  for (int64_t row = 0; row < a.size(0); ++row) {
    Rng rng(seed, name, static_cast<uint64_t>(row));
    for (int64_t column = 0; column < a.size(1); ++column)
      *data++ = static_cast<float>((2 * rng.uniform() - 1) * bound);
  }
  at::Tensor(a).copy_(values);
}

}  // namespace

at::Tensor row_lengths(const at::Tensor& weight_OI) { return at::linalg_vector_norm(weight_OI, 2, 1); }

bool LoraOptions::adapts(const std::string& name) const {
  const size_t blocks = name.find(kBlocks);
  if (blocks == name.npos || !name.ends_with(kWeight)) return false;
  const std::string module = without(name, kWeight);
  const int64_t layer = std::stoll(name.substr(blocks + kBlocks.size()));
  return std::ranges::count(layers, layer) > 0 &&
         std::ranges::count(targets, module.substr(module.rfind('.') + 1)) > 0;
}

LoraOptions parse_lora(Fields fields, const TransformerConfig& config, uint64_t seed) {
  LoraOptions options;
  options.seed = seed;
  const int64_t widest = std::min(config.d_model, config.mlp_hidden_size);
  options.rank = fields.integer("rank", 1, widest, std::min(options.rank, widest));
  options.alpha = fields.number("alpha", 0.0, 1e6, 2.0 * static_cast<double>(options.rank));
  options.targets = fields.strings("targets");
  if (options.targets.empty()) fields.fail("targets", "none", "at least one projection");
  for (const std::string& target : options.targets)
    if (std::ranges::count(kProjections, target) == 0)
      fields.fail("targets", quote(target), "q_proj, k_proj, v_proj, attn_out, ff_proj, up_proj or ff_out");
  std::vector<int64_t> all(static_cast<size_t>(config.n_layers));
  std::iota(all.begin(), all.end(), 0);
  options.layers = fields.integers("layers", 0, config.n_layers - 1, all);
  if (options.layers.empty()) fields.fail("layers", "none", "at least one block");
  options.dora = fields.boolean("dora", false);
  const std::string base = fields.choice("base", {"full", "int8", "nf4"}, "full");
  options.base = base == "full"   ? WeightFormat::kFull
                 : base == "int8" ? WeightFormat::kInt8
                                  : WeightFormat::kNf4;
  if (options.base == WeightFormat::kNf4 && (config.d_model % 2 != 0 || config.mlp_hidden_size % 2 != 0))
    fields.fail("base", "nf4 of odd widths", "even ones: two weights share a byte");
  fields.finish();
  return options;
}

AdapterNames adapter_names(const std::string& weight) {
  const std::string module = without(weight, kWeight);
  return {module + ".lora_A.weight", module + ".lora_B.weight", module + ".lora_magnitude_vector"};
}

at::Tensor merge(const AdaptedWeight& weight) {
  const at::NoGradGuard no_grad;
  const bool wide = weight.a.defined() && weight.a.scalar_type() == at::kDouble;
  const at::ScalarType type = wide ? at::kDouble : at::kFloat;
  const at::Tensor base = dequantise(weight.base, type);
  if (!weight.a.defined()) return base;
  const at::Tensor sum = at::addmm(base, weight.b.to(type), weight.a.to(type), 1, weight.scale);
  if (!weight.magnitude.defined()) return sum;
  return sum * (weight.magnitude.to(type) / row_lengths(sum)).unsqueeze(1);
}

at::Tensor project(const at::Tensor& x, const AdaptedWeight& weight) {
  const at::Tensor y = project_frozen(x, weight.base);
  if (!weight.a.defined()) return y;
  const at::Tensor sum = at::add(y, project(project(x, weight.a), weight.b), weight.scale);
  if (!weight.magnitude.defined()) return sum;
  AdaptedWeight undirected = weight;
  undirected.magnitude = at::Tensor();
  const at::Tensor lengths = row_lengths(merge(undirected));
  return sum * (weight.magnitude / lengths).to(sum.scalar_type());
}

void initialize_adapter(const std::string& name, const at::Tensor& tensor, uint64_t seed) {
  if (name.ends_with(".lora_A.weight")) return draw_a(name, tensor, seed);
  MMADA_CHECK(name.ends_with(".lora_B.weight"), "adapter: found the tensor ", name,
              ", expected lora_A or lora_B");
  at::Tensor(tensor).zero_();
}

}  // namespace mmada
