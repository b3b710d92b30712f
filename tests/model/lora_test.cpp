// SPDX-License-Identifier: MIT
#include "mmada/model/lora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>

#include "tests/distributed/ranks.h"
#include "tests/model/small_training.h"

namespace mmada {
namespace {

using namespace test;

/// An epsilon far above the rounding of gradients: where they cancel, Adam would divide rounding by rounding.
AdamWOptions calm_adam() { return {.learning_rate = 1e-2, .epsilon = 1e-3, .weight_decay = 0.1}; }

LoraOptions lora_options(bool dora, WeightFormat base = WeightFormat::kFull) {
  return {.rank = 4,
          .alpha = 6,
          .targets = {"q_proj", "v_proj", "attn_out", "up_proj", "ff_out"},
          .layers = {0, 1},
          .dora = dora,
          .base = base,
          .seed = 3};
}

/// What LoRA and DoRA say in dense weights: W + s B A, its rows scaled to m; the lengths are constants.
at::Tensor published_weight(const at::Tensor& w, const at::Tensor& a, const at::Tensor& b,
                            const at::Tensor& m, double scale) {
  const at::Tensor sum = w + scale * b.matmul(a);
  if (!m.defined()) return sum;
  return m.unsqueeze(1) * sum / sum.detach().square().sum(1, /*keepdim=*/true).sqrt();
}

struct Adapter {
  at::Tensor w, a, b, m;
};
Adapter some_adapter(bool dora) {
  at::manual_seed(7);
  const at::TensorOptions wide(at::kDouble);
  Adapter adapter{at::randn({10, 6}, wide),
                  at::randn({3, 6}, wide).requires_grad_(true),
                  at::randn({10, 3}, wide).requires_grad_(true),
                  {}};
  if (dora) adapter.m = at::rand({10}, wide).add(0.5).requires_grad_(true);
  return adapter;
}

TEST_CASE("LoRA and DoRA are their published formulas, in value and in every gradient") {
  for (const bool dora : {false, true}) {
    const Adapter own = some_adapter(dora), dense = some_adapter(dora);
    const AdaptedWeight weight{{WeightFormat::kFull, own.w, {}}, own.a, own.b, own.m, 0.7};
    const at::Tensor x = at::randn({2, 5, 6}, at::kDouble), dy = at::randn({2, 5, 10}, at::kDouble);
    const at::Tensor ours = x.clone().requires_grad_(true), theirs = x.clone().requires_grad_(true);
    const at::Tensor y = project(ours, weight);
    const at::Tensor expected = theirs.matmul(published_weight(dense.w, dense.a, dense.b, dense.m, 0.7).t());
    CHECK(at::allclose(y, expected, 1e-12, 1e-12));
    y.backward(dy);
    expected.backward(dy);
    CHECK(at::allclose(ours.grad(), theirs.grad(), 1e-12, 1e-12));
    CHECK(at::allclose(own.a.grad(), dense.a.grad(), 1e-12, 1e-12));
    CHECK(at::allclose(own.b.grad(), dense.b.grad(), 1e-12, 1e-12));
    if (dora) CHECK(at::allclose(own.m.grad(), dense.m.grad(), 1e-12, 1e-12));
    CHECK(
        at::allclose(merge(weight), published_weight(dense.w, dense.a, dense.b, dense.m, 0.7), 1e-12, 1e-12));
  }
}

TEST_CASE("A begins uniform within 1 / sqrt(I), B at zero, from streams of their own names") {
  const at::Tensor a = at::empty({16, 400}), other = at::empty({16, 400}), b = at::ones({400, 16});
  initialize_adapter("x.lora_A.weight", a, 1);
  initialize_adapter("y.lora_A.weight", other, 1);
  initialize_adapter("x.lora_B.weight", b, 1);
  CHECK(a.abs().max().item<double>() <= 0.05);
  // 6400 draws: the variance of a uniform number is bound^2 / 3, its mean's deviation bound / sqrt(3 * 6400)
  CHECK(a.square().mean().item<double>() == Approx(0.05 * 0.05 / 3).epsilon(0.05));
  CHECK(std::abs(a.mean().item<double>()) < 5 * 0.05 / std::sqrt(3 * 6400.0));
  CHECK(!at::equal(a, other));
  CHECK(b.abs().max().item<double>() == 0);
}

LoraOptions parsed(const char* text) {
  return parse_lora(Fields(parse_json(text, "run.json"), "run.json", "lora"), small_config(false), 0);
}

TEST_CASE("mistakes in the configuration are named, with what was expected") {
  CHECK(parsed(R"({"targets": ["q_proj"], "rank": 8})").scale() == 2.0);
  CHECK(parsed(R"({"targets": ["q_proj"]})").layers == std::vector<int64_t>{0, 1});
  const std::map<const char*, const char*> mistakes = {
      {R"({"targets": ["wte"]})", "field `lora.targets`: found \"wte\", expected q_proj"},
      {R"({"targets": []})", "field `lora.targets`: found none"},
      {R"({"targets": ["q_proj"], "rank": 25})", "field `lora.rank`: found 25"},
      {R"({"targets": ["q_proj"], "layers": [2]})", "field `lora.layers"},
      {R"({"targets": ["q_proj"], "base": "int4"})", "field `lora.base`: found \"int4\""},
      {R"({"targets": ["q_proj"], "dropout": 0.1})", "lora.dropout"}};
  for (const auto& [text, message] : mistakes) CHECK_THROWS_WITH(parsed(text), Catch::Contains(message));
}

/// The small network's weights as a base holds them: projections of blocks quantised and back.
std::map<std::string, at::Tensor> base_weights(bool tied, const std::optional<LoraOptions>& lora) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  const Transformer plain = plain_transformer(tied);
  for (const NamedParameter& parameter : plain.parameters())
    weights[parameter.name] = parameter.tensor.detach().clone();
  if (!lora || lora->base == WeightFormat::kFull) return weights;
  for (auto& [name, weight] : weights) {
    if (weight.dim() != 2 || name.find(".blocks.") == name.npos) continue;
    const bool bytes = lora->base == WeightFormat::kInt8;
    const FrozenWeight held{lora->base,
                            at::empty({weight.size(0), bytes ? weight.size(1) : weight.size(1) / 2},
                                      bytes ? at::kChar : at::kByte),
                            bytes ? at::empty({weight.size(0)}) : at::empty({weight.size(0), 1})};
    quantise(weight, held);
    weight = dequantise(held, at::kFloat);
  }
  return weights;
}

struct Variant {
  bool tied = false;
  Recompute recompute = Recompute::kNothing;
  std::optional<LoraOptions> lora = std::nullopt;
  ShardPolicy policy = {};
};

ShardedTransformer adapted_transformer(const Group& group, const Variant& variant) {
  const auto weights = base_weights(variant.tied, std::nullopt);
  return {small_config(variant.tied),
          group,
          variant.policy,
          variant.recompute,
          [&](const std::string& name, const at::Tensor& tensor) { tensor.copy_(weights.at(name)); },
          variant.lora};
}

Trace train_adapters(const Group& group, const Variant& variant) {
  ShardedTransformer model = adapted_transformer(group, variant);
  AdamW optimizer(trained_pieces(model), calm_adam(), group);
  Trace trace;
  for (int64_t step = 0; step < kSteps; ++step) {
    model.shards().release_all();
    trace.loss.push_back(backward_share(model, step));
    update(optimizer, &trace);
  }
  trace.weights = model.whole(at::kFloat, true);
  return trace;
}

/// The same by another way: a dense network that knows no adapters gives the gradient of every weight, and
/// the chain rule takes it on to the adapters, which are then put into its weights.
class DenseAdapters {
 public:
  DenseAdapters(const Transformer& model, const LoraOptions& lora, std::map<std::string, at::Tensor> base)
      : model_(model), base_(std::move(base)), scale_(lora.scale()) {
    const at::NoGradGuard no_grad;
    for (const NamedParameter& parameter : model_.parameters()) {
      parameter.tensor.detach().copy_(base_.at(parameter.name));
      if (!lora.adapts(parameter.name)) continue;
      const at::Tensor& w = base_.at(parameter.name);
      Adapter adapter{w, at::empty({lora.rank, w.size(1)}), at::zeros({w.size(0), lora.rank}), {}};
      const AdapterNames names = adapter_names(parameter.name);
      initialize_adapter(names.a, adapter.a, lora.seed);
      add(names.a, adapter.a, ParameterKind::kLinear), add(names.b, adapter.b, ParameterKind::kLinear);
      if (lora.dora) {
        adapter.m = w.square().sum(1).sqrt();
        add(names.magnitude, adapter.m, ParameterKind::kNorm);
      }
      adapters_.emplace_back(parameter.tensor, adapter);
    }
  }

  const std::vector<TrainedTensor>& trained() const { return trained_; }

  /// From the weights' gradients to the adapters'.
  void chain() {
    for (const auto& [weight, adapter] : adapters_) {
      const auto& [w, a, b, m] = adapter;
      const at::Tensor sum = published_weight(w, a, b, {}, scale_).detach();
      const at::Tensor lengths = sum.square().sum(1, true).sqrt();
      at::Tensor d = weight.grad().clone();
      if (m.defined()) {
        m.mutable_grad() = (d * sum / lengths).sum(1);
        d = d * m.detach().unsqueeze(1) / lengths;
      }
      a.mutable_grad() = scale_ * b.detach().t().matmul(d);
      b.mutable_grad() = scale_ * d.matmul(a.detach().t());
    }
    for (const NamedParameter& parameter : model_.parameters()) parameter.tensor.grad().zero_();
  }

  void put() {
    const at::NoGradGuard no_grad;
    for (const auto& [weight, adapter] : adapters_)
      weight.detach().copy_(published_weight(adapter.w, adapter.a, adapter.b, adapter.m, scale_));
  }

 private:
  void add(const std::string& name, const at::Tensor& tensor, ParameterKind kind) {
    tensor.set_requires_grad(true);
    trained_.push_back({name, tensor, kind, tensor.sizes().vec()});
  }

  const Transformer& model_;
  std::map<std::string, at::Tensor> base_;
  double scale_;
  std::vector<std::pair<at::Tensor, Adapter>> adapters_;
  std::vector<TrainedTensor> trained_;
};

Trace train_densely(const Variant& variant) {
  Trace trace{.loss = {}, .norm = {}, .weights = plain_transformer(variant.tied)};
  DenseAdapters adapters(trace.weights, *variant.lora, base_weights(variant.tied, variant.lora));
  AdamW optimizer(adapters.trained(), calm_adam());
  for (int64_t step = 0; step < kSteps; ++step) {
    trace.loss.push_back(backward(token_logprobs(trace.weights), rows_of(step, 0, kRows)));
    adapters.chain();
    update(optimizer, &trace);
    adapters.put();
  }
  return trace;
}

std::vector<Variant> variants() {
  std::vector<Variant> result;
  for (const bool dora : {false, true})
    for (const WeightFormat base : {WeightFormat::kFull, WeightFormat::kInt8, WeightFormat::kNf4}) {
      result.push_back({.tied = base == WeightFormat::kInt8, .lora = lora_options(dora, base)});
      result.back().recompute = base == WeightFormat::kInt8 ? Recompute::kBlocks : Recompute::kNothing;
      result.back().policy.release = base != WeightFormat::kNf4;
    }
  return result;
}

TEST_CASE("ten steps of adapters in every rank", "[.adapted]") {
  const Group group = test::connect();
  for (const Variant& variant : variants()) {
    INFO("dora " << variant.lora->dora << ", base " << static_cast<int>(variant.lora->base));
    const Trace dense = train_densely(variant);
    if (!variant.tied) CHECK(dense.loss.back() < 0.95 * dense.loss.front());
    compare(train_adapters(group, variant), dense);
  }
}

TEST_CASE("one to four processes train adapters as the chain rule trains them in a dense network") {
  for (const int processes : {1, 2, 3, 4}) CHECK(test::run_ranks("[.adapted]", processes) == 0);
}

TEST_CASE("an adapted network begins as its base: LoRA to the last bit, DoRA within rounding") {
  const RowGroup rows = rows_of(0, 0, kRows);
  const at::NoGradGuard no_grad;
  const auto loss = [&](const Variant& variant) {
    ShardedTransformer model = adapted_transformer({}, variant);
    return weighted_losses(token_logprobs(model), {rows}).total.item<double>();
  };
  const double base = loss({});
  CHECK(loss({.lora = lora_options(false)}) == base);
  CHECK(loss({.lora = lora_options(true)}) == Approx(base).epsilon(1e-6));
  CHECK(loss({.lora = lora_options(false, WeightFormat::kNf4)}) != base);
}

TEST_CASE("the merged network computes what the adapted one does") {
  for (const Variant& variant : variants()) {
    ShardedTransformer model = adapted_transformer({}, variant);
    AdamW optimizer(trained_pieces(model), calm_adam());
    backward_share(model, 0), optimizer.step(1.0), optimizer.zero_grad();
    backward_share(model, 1), optimizer.step(1.0);
    const at::NoGradGuard no_grad;
    const Transformer merged = model.whole(at::kFloat, true);
    const RowGroup rows = rows_of(2, 0, kRows);
    const double adapted = weighted_losses(token_logprobs(model), {rows}).total.item<double>();
    CHECK(weighted_losses(token_logprobs(merged), {rows}).total.item<double>() ==
          Approx(adapted).epsilon(1e-6));
  }
}

TEST_CASE("only adapters have gradients and optimizer states, and the base takes the bytes of its format") {
  const int64_t projections = 2 * (4 * 24 * 24 + 3 * 24 * 40), rows = 2 * (4 * 24 + 2 * 40 + 24);
  const int64_t others = (2 * kVocabulary * 24 + 5 * 24) * 4;
  const std::map<WeightFormat, int64_t> expected = {
      {WeightFormat::kFull, 4 * projections + others},
      {WeightFormat::kInt8, projections + 4 * rows + others},
      {WeightFormat::kNf4, projections / 2 + 4 * rows + others}};
  for (const auto& [format, bytes] : expected) {
    const ShardedTransformer model = adapted_transformer({}, {.lora = lora_options(true, format)});
    // each of up to 35 tensors is filled up to 64 bytes
    CHECK(model.shards().counters().frozen_bytes >= bytes);
    CHECK(model.shards().counters().frozen_bytes < bytes + 35 * 64);
    int64_t trained = 0;
    for (const auto& [segment, kind] : model.segments()) {
      CHECK(segment.name.find("lora_") != std::string::npos);
      trained += segment.master.numel();
    }
    // of each block: rank times both widths of the targets, and a magnitude for each of their rows
    CHECK(trained == 2 * (4 * (3 * 48 + 2 * 64) + 4 * 24 + 40));
  }
}

TEST_CASE("the base's digest is of what it holds: any weight changes it, adapters do not") {
  const auto digest = [](const Variant& variant, float change) {
    const auto weights = base_weights(false, std::nullopt);
    const ShardedTransformer model(
        small_config(false), {}, {}, Recompute::kNothing,
        [&](const std::string& name, const at::Tensor& tensor) {
          tensor.copy_(weights.at(name));
          if (name == "model.transformer.ln_f.weight") tensor[3].add_(change);
        },
        variant.lora);
    return model.base_sha256();
  };
  const std::string base = digest({.lora = lora_options(false)}, 0);
  CHECK(base.size() == 64);
  LoraOptions other = lora_options(true);
  other.rank = 2, other.seed = 9;
  CHECK(digest({.lora = other}, 0) == base);
  CHECK(digest({.lora = lora_options(false)}, 1e-3F) != base);
  CHECK(digest({}, 0).empty());
}

TEST_CASE("the recomputation of norms and SwiGLU beside LoRA is refused") {
  CHECK_THROWS_WITH(
      adapted_transformer({}, {.recompute = Recompute::kNormsAndSwiglu, .lora = lora_options(false)}),
      Catch::Contains("beside LoRA"));
}

}  // namespace
}  // namespace mmada
