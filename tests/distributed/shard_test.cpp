// SPDX-License-Identifier: MIT
#include "mmada/distributed/shard.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>

#include "mmada/core/rng.h"
#include "mmada/trainer/optimizer.h"
#include "tests/distributed/ranks.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

constexpr int64_t kVocabulary = 23, kWidth = 16, kTokens = 6, kSequences = 12, kMicroBatches = 2, kSteps = 10;

using Named = std::vector<std::pair<std::string, at::Tensor>>;

/// A small network of units: parameters, and what each computes of them. The head gives the summed loss.
struct UnitDescription {
  std::string name;
  ShardedModel::NamedShapes shapes;
  ShardedModel::Pass pass;
};
std::vector<UnitDescription> network(bool recompute = true) {
  const auto embed = [](at::TensorList w, at::TensorList in) { return at::embedding(w[0], in[0]); };
  const auto block = [](at::TensorList w, at::TensorList in) {
    const at::Tensor h = in[0] * w[0];
    return in[0] + at::matmul(at::silu(at::matmul(h, w[1].t())), w[2].t());
  };
  const auto head = [](at::TensorList w, at::TensorList in) {
    const at::Tensor logits = at::matmul(in[0] * w[0], w[1].t()).flatten(0, 1);
    return at::cross_entropy_loss(logits, in[1].flatten(), {}, at::Reduction::Sum);
  };
  std::vector<UnitDescription> units{
      {"embedding", {{"wte", {kVocabulary, kWidth}}}, {embed, recompute, /*weights_in_backward=*/false}}};
  for (const std::string name : {"block0", "block1", "block2"})
    units.push_back(
        {name,
         {{name + ".norm", {kWidth}}, {name + ".up", {40, kWidth}}, {name + ".down", {kWidth, 40}}},
         {block, recompute}});
  units.push_back({"head", {{"ln_f", {kWidth}}, {"ff_out", {kVocabulary, kWidth}}}, {head, recompute}});
  return units;
}

/// From a stream of the parameter's name: any process builds any parameter alone.
void fill(const std::string& name, const at::Tensor& parameter) {
  Rng rng(3, name);
  const at::Tensor values = at::empty(parameter.sizes(), at::kDouble);
  for (int64_t i = 0; i < values.numel(); ++i) values.mutable_data_ptr<double>()[i] = 0.3 * rng.normal();
  parameter.copy_(values);
}

struct Batch {
  at::Tensor ids, targets;
};
Batch batch(int64_t step, int64_t micro) {
  Rng rng(5, "batch", static_cast<uint64_t>(step * kMicroBatches + micro));
  Batch batch{at::empty({kSequences, kTokens}, at::kLong), at::empty({kSequences, kTokens}, at::kLong)};
  for (const at::Tensor& tensor : {batch.ids, batch.targets})
    for (int64_t i = 0; i < tensor.numel(); ++i)
      tensor.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(kVocabulary));
  return batch;
}
constexpr double kDenominator = kSequences * kTokens * kMicroBatches;

struct Trace {
  std::vector<double> loss, norm;
  Named weights;
};

/// Gradients cut to a norm of 1, then AdamW.
void update(AdamW& adam, double norm) {
  adam.scale_gradients(std::min(1.0, 1.0 / (norm + 1e-6)));
  adam.step(1.0);
}
constexpr AdamWOptions kAdam{.learning_rate = 1e-2, .weight_decay = 0.1};

/// One process, no sharding code.
Trace train_plainly(at::ScalarType type) {
  const auto units = network();
  std::vector<std::vector<at::Tensor>> weights;
  std::vector<TrainedTensor> parameters;
  for (const UnitDescription& unit : units) {
    weights.emplace_back();
    for (const auto& [name, shape] : unit.shapes) {
      at::Tensor parameter = at::empty(shape, type);
      fill(name, parameter);
      parameter.requires_grad_(true);
      weights.back().push_back(parameter);
      parameters.push_back(trained_whole({name, parameter, ParameterKind::kLinear}));
    }
  }
  AdamW adam(parameters, kAdam);
  Trace trace;
  for (int64_t step = 0; step < kSteps; ++step) {
    double loss = 0, square = 0;
    adam.zero_grad();
    for (int64_t micro = 0; micro < kMicroBatches; ++micro) {
      const Batch data = batch(step, micro);
      at::Tensor x = data.ids;
      for (size_t i = 0; i + 1 < units.size(); ++i) x = units[i].pass.function(weights[i], {x});
      const at::Tensor sum = units.back().pass.function(weights.back(), {x, data.targets}) / kDenominator;
      sum.backward();
      loss += sum.item<double>();
    }
    for (const TrainedTensor& parameter : parameters)
      square += parameter.tensor.grad().to(at::kDouble).square().sum().item<double>();
    trace.loss.push_back(loss), trace.norm.push_back(std::sqrt(square));
    update(adam, trace.norm.back());
  }
  for (const TrainedTensor& parameter : parameters)
    trace.weights.push_back({parameter.name, parameter.tensor.detach()});
  return trace;
}

/// Mistakes that the comparison has to see.
enum class Mistake { kNone, kLostGradient, kAveraged, kStaleWeights };

/// What the processes' gradients come to.
double grad_norm(const ShardedModel& model) {
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (const ShardSegment& segment : model.segments())
    sum.add_(segment.master.grad().to(at::kDouble).square().sum());
  model.group().all_reduce(sum);
  return std::sqrt(sum.item<double>());
}

struct Variant {
  ShardPolicy policy;
  bool recompute = true;
};

std::unique_ptr<ShardedModel> build(const Group& group, const ShardPolicy& policy) {
  auto model = std::make_unique<ShardedModel>(group, policy);
  for (const UnitDescription& unit : network()) model->add(unit.name, unit.shapes, fill);
  return model;
}

at::Tensor loss_of_share(ShardedModel& model, const Batch& data, bool recompute = true) {
  const auto units = network(recompute);
  const int64_t size = model.group().size(), share = kSequences / size, rank = model.group().rank();
  const int64_t begin = rank * share, count = rank + 1 == size ? kSequences - begin : share;
  at::Tensor x = data.ids.narrow(0, begin, count);
  for (size_t i = 0; i < 4; ++i) x = model.run(i, units[i].pass, {x});
  return model.run(4, units[4].pass, {x, data.targets.narrow(0, begin, count)}) / kDenominator;
}

Trace train_sharded(const Group& group, const Variant& variant, Mistake mistake = Mistake::kNone) {
  const auto& [policy, recompute] = variant;
  const auto owner = build(group, policy);
  ShardedModel& model = *owner;
  std::vector<TrainedTensor> parameters;
  for (const ShardSegment& segment : model.segments())
    parameters.push_back(
        {segment.name, segment.master, ParameterKind::kLinear, segment.shape, segment.offset});
  AdamW adam(parameters, kAdam);
  Trace trace;
  for (int64_t step = 0; step < kSteps; ++step) {
    at::Tensor loss = at::zeros({1}, at::kDouble);
    adam.zero_grad();
    for (int64_t micro = 0; micro < kMicroBatches; ++micro) {
      at::Tensor sum = loss_of_share(model, batch(step, micro), recompute);
      loss.add_(sum.detach().to(at::kDouble));
      if (mistake == Mistake::kLostGradient && group.rank() == 1) sum = sum * 0.0;
      if (mistake == Mistake::kAveraged) sum = sum / group.size();
      sum.backward();
    }
    group.all_reduce(loss);
    trace.loss.push_back(loss.item<double>()), trace.norm.push_back(grad_norm(model));
    update(adam, trace.norm.back());
    if (mistake != Mistake::kStaleWeights) model.release_all();
  }
  model.release_all();
  for (size_t unit = 0; unit < 5; ++unit)
    for (const auto& parameter : model.whole(unit)) trace.weights.push_back(parameter);
  const ShardCounters& counters = model.counters();
  CHECK(counters.whole_bytes == 0);
  CHECK(counters.gradient_bytes == 0);
  return trace;
}

struct Difference {
  double loss = 0, norm = 0, weights = 0;
};
/// Losses and norms relative, weights absolute.
Difference difference(const Trace& a, const Trace& b) {
  Difference d;
  REQUIRE(a.weights.size() == b.weights.size());
  for (size_t i = 0; i < a.loss.size(); ++i) {
    d.loss = std::max(d.loss, std::abs(a.loss[i] - b.loss[i]) / std::abs(b.loss[i]));
    d.norm = std::max(d.norm, std::abs(a.norm[i] - b.norm[i]) / b.norm[i]);
  }
  for (size_t i = 0; i < a.weights.size(); ++i) {
    CHECK(a.weights[i].first == b.weights[i].first);
    d.weights = std::max(d.weights, (a.weights[i].second - b.weights[i].second).abs().max().item<double>());
  }
  return d;
}

std::vector<Variant> policies(at::ScalarType type) {
  std::vector<Variant> result;
  for (const bool release : {true, false})
    for (const bool recompute : {true, false})
      for (const bool prefetch : {true, false})
        result.push_back(
            {{.release = release, .prefetch = prefetch, .master = type, .compute = type, .reduce = type},
             recompute});
  return result;
}

TEST_CASE(
    "gradients that are one tensor to autograd add up apart, and a parameter that no pass reads has zeros") {
  ShardedModel model({}, {});
  model.add("unit", {{"a", {3}}, {"b", {3}}, {"unread", {2}}},
            [](const std::string&, const at::Tensor& parameter) { parameter.fill_(1.0); });
  const auto sum = [](at::TensorList parameters, at::TensorList) { return parameters[0] + parameters[1]; };
  for (int pass = 0; pass < 2; ++pass)
    model.run(0, {.function = sum, .recompute = pass == 1}, {at::zeros({1})}).sum().backward();
  for (const ShardSegment& segment : model.segments()) {
    REQUIRE(segment.master.grad().defined());
    CHECK(at::equal(segment.master.grad(),
                    at::full_like(segment.master, segment.name == "unread" ? 0.0 : 2.0)));
  }
}

TEST_CASE("sharded steps in every rank", "[.equal]") {
  const Group group = test::connect();
  const Trace plain = train_plainly(at::kDouble), plain_fp32 = train_plainly(at::kFloat);
  CHECK(plain.loss.back() < plain.loss.front());
  for (const Variant& variant : policies(at::kDouble)) {
    INFO("release " << variant.policy.release << ", recompute " << variant.recompute << ", prefetch "
                    << variant.policy.prefetch);
    const Difference d = difference(train_sharded(group, variant), plain);
    CHECK(d.loss < 1e-13);
    CHECK(d.norm < 1e-13);
    CHECK(d.weights < 1e-13);
  }
  const Difference d = difference(train_sharded(group, {}), plain_fp32);
  CHECK(d.loss < 1e-6);
  CHECK(d.norm < 1e-5);
  CHECK(d.weights < 1e-6);
}

TEST_CASE("one to four processes take the steps of a single one that knows no shards") {
  for (const int processes : {1, 2, 3, 4}) CHECK(test::run_ranks("[.equal]", processes) == 0);
}

TEST_CASE("wrong steps in every rank", "[.wrong]") {
  const Group group = test::connect();
  const Trace plain = train_plainly(at::kFloat);
  const Difference lost = difference(train_sharded(group, {}, Mistake::kLostGradient), plain);
  CHECK(lost.weights > 1e-3);
  // AdamW is blind to the gradients' scale: only the norm tells
  CHECK(difference(train_sharded(group, {}, Mistake::kAveraged), plain).norm > 0.1);
  const Variant kept{.policy = {.release = false}};
  CHECK(difference(train_sharded(group, kept, Mistake::kStaleWeights), plain).weights > 1e-3);
}

TEST_CASE("a lost gradient, an averaged one and stale weights are seen by the comparison") {
  CHECK(test::run_ranks("[.wrong]", 2) == 0);
}

TEST_CASE("memory and traffic in every rank", "[.counted]") {
  const Group group = test::connect();
  const auto run = [&](const ShardPolicy& policy, bool recompute = true) {
    const auto owner = build(group, policy);
    ShardedModel& model = *owner;
    loss_of_share(model, batch(0, 0), recompute).backward();
    return model.counters();
  };
  int64_t padded = 0, largest = 0;
  for (const UnitDescription& unit : network()) {
    const int64_t bytes = flat_layout(unit.shapes, group.size(), 64).padded * 4;
    padded += bytes, largest = std::max(largest, bytes);
  }
  const ShardCounters recomputed = run({});
  CHECK(recomputed.gathers == 5 + 4);  // the last unit stays for its backward
  CHECK(recomputed.reductions == 5);
  CHECK(recomputed.reduced_bytes == padded);
  CHECK(recomputed.whole_peak_bytes <= 2 * largest);
  CHECK(recomputed.gradient_peak_bytes <= 2 * largest);
  CHECK(run({.prefetch = false}).whole_peak_bytes == largest);
  CHECK(run({}, false).gathers == 5 + 3);  // an embedding's backward reads no weights
  CHECK(run({.release = false}).gathers == 5);
  CHECK(run({.release = false}).whole_peak_bytes == padded);
}

TEST_CASE("at most two whole units are held at a time, and every unit is gathered twice at most") {
  CHECK(test::run_ranks("[.counted]", 2) == 0);
}

TEST_CASE("bf16 in every rank", "[.bf16]") {
  const Group group = test::connect();
  const Trace plain = train_plainly(at::kFloat);
  for (const at::ScalarType reduce : {at::kFloat, at::kBFloat16}) {
    const Difference d =
        difference(train_sharded(group, {{.compute = at::kBFloat16, .reduce = reduce}}), plain);
    CHECK(d.loss < 0.02);
    CHECK(d.loss > 1e-6);
  }
}

TEST_CASE("bf16 parameters over fp32 masters stay near the fp32 run") {
  CHECK(test::run_ranks("[.bf16]", 3) == 0);
}

TEST_CASE("two forwards before one backward give the sum of their gradients") {
  for (const auto& [policy, recompute] : policies(at::kDouble)) {
    const auto together = build({}, policy), apart = build({}, policy);
    const auto loss = [&](ShardedModel& model, int64_t micro) {
      return loss_of_share(model, batch(0, micro), recompute);
    };
    (loss(*together, 0) + loss(*together, 1)).backward();
    loss(*apart, 0).backward();
    loss(*apart, 1).backward();
    CHECK(grad_norm(*together) == Approx(grad_norm(*apart)).epsilon(1e-13));
  }
}

#ifndef __SANITIZE_ADDRESS__  // which has a heap of its own
TEST_CASE(
    "what the pass has freed is given back before a large gradient comes about, not before a small one") {
  const auto left = [](int64_t rows) {
    ShardedModel model(Group(), {});
    int64_t before = 0, after = 0;
    at::Tensor last;
    const auto fill = [](const std::string&, const at::Tensor& weights) { weights.fill_(0.5); };
    const ShardedModel::Pass first{[&](at::TensorList w, at::TensorList) {
      at::Tensor out = w[0].narrow(0, 0, 4).clone();
      if (out.requires_grad()) out.register_hook([&](const at::Tensor&) { after = process_memory("VmRSS"); });
      return out;
    }};
    const ShardedModel::Pass second{[&](at::TensorList w, at::TensorList in) {
      std::vector<at::Tensor> small;  // 40 MiB
      for (int i = 0; i < 640; ++i) small.push_back(at::ones({16 * 1024}));
      before = process_memory("VmRSS");
      last = small.back();  // keeps the heap from shrinking by itself
      return at::mul(in[0], w[0]).sum();
    }};
    model.add("first", {{"large", {rows, 1024}}}, fill);
    model.add("second", {{"small", {1}}}, fill);
    model.run(1, second, {model.run(0, first, {})}).backward();
    return after - before;
  };
  CHECK(left(16 * 1024) < -(30 << 20));
  CHECK(left(1024) > -(10 << 20));
}
#endif

TEST_CASE("an error inside a step leaves a model that can go on") {
  const auto owner = build({}, {});
  ShardedModel& model = *owner;
  const at::Tensor bad = at::full({2, kTokens}, 99, at::kLong);
  CHECK_THROWS(model.run(0, network()[0].pass, {bad}));
  model.abandon();
  CHECK(model.counters().whole_bytes == 0);
  loss_of_share(model, batch(0, 0)).backward();
  CHECK(grad_norm(model) > 0);
}

}  // namespace
}  // namespace mmada
