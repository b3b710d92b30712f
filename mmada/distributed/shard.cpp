// SPDX-License-Identifier: MIT
#include "mmada/distributed/shard.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/freed_memory.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

void grow(int64_t& held, int64_t& peak, int64_t bytes) {
  held += bytes;
  peak = std::max(peak, held);
}

/// A gradient as one that may be kept: flat, of the masters' type, in memory of its own and no more of it.
Tensor kept(const Tensor& gradient, at::ScalarType type) {
  const bool own = gradient.is_contiguous() && gradient.storage().use_count() == 1 &&
                   gradient.storage().nbytes() == gradient.nbytes();
  const Tensor flat = gradient.detach().to(type).reshape({-1});
  return own || gradient.scalar_type() != type ? flat : flat.clone();
}

/// Adds to a piece's gradient; the first becomes it.
void add_gradient(const Tensor& piece, const Tensor& gradient) {
  Tensor& sum = piece.mutable_grad();
  if (sum.defined())
    sum.add_(gradient);
  else
    sum = gradient;
}

/// A large gradient is a fresh block, beside which the activations that the pass has freed would lie idle.
void make_room_for_gradients(const std::vector<Tensor>& leaves) {
  if (std::ranges::any_of(leaves, [](const Tensor& leaf) {
        return leaf.is_cpu() && static_cast<int64_t>(leaf.nbytes()) >= kFreshBlockBytes;
      }))
    give_back_freed_memory();
}

}  // namespace

struct ShardedModel::Unit {
  enum class State { kReleased, kGathering, kWhole };
  /// Of a parameter, in this process's shard.
  struct Piece {
    size_t parameter = 0;
    Span shard;
    Tensor master;
  };

  size_t index = 0;
  FlatLayout layout;
  bool weights_in_backward = true;  ///< of its last pass
  Tensor master;                    ///< [shard]
  std::vector<Piece> pieces;
  GatheredFlat whole;
  FrozenFlat frozen;
  std::vector<Tensor> leaves;   ///< views of the whole, one for each parameter
  std::vector<Tensor> tensors;  ///< the same, and behind them the frozen ones
  State state = State::kReleased;

  int64_t whole_bytes() const { return whole.bytes() + frozen.whole_bytes(); }
};

ShardedModel::ShardedModel(Group group, ShardPolicy policy) : group_(std::move(group)), policy_(policy) {}
ShardedModel::~ShardedModel() = default;

size_t ShardedModel::add(const std::string& name, const NamedShapes& shapes, const Fill& fill,
                         const std::vector<FrozenTensor>& frozen, const FrozenFlat::Fill& fill_frozen) {
  const c10::NoGradGuard no_grad;
  MMADA_CHECK(!shapes.empty() || !frozen.empty(), "sharded model: unit ", name,
              ": found no parameters, expected at least one");
  auto unit = std::make_unique<Unit>();
  unit->index = units_.size();
  unit->frozen = FrozenFlat(frozen, group_, policy_.alignment, policy_.device, fill_frozen);
  counters_.frozen_bytes += unit->frozen.shard_bytes();
  unit->layout = flat_layout(shapes, group_.size(), policy_.alignment);
  const FlatLayout& layout = unit->layout;
  const Tensor flat = at::zeros({layout.padded}, at::TensorOptions(policy_.device).dtype(policy_.master));
  for (const FlatParameter& parameter : layout.parameters) fill(parameter.name, view_of(flat, parameter));
  unit->master = own_shard(flat, layout, group_);
  for (const FlatLayout::Segment& segment : layout.segments(group_.rank())) {
    const FlatParameter& parameter = layout.parameters[segment.parameter];
    const Tensor master = unit->master.narrow(0, segment.shard.begin, segment.shard.size()).detach();
    unit->pieces.push_back({segment.parameter, segment.shard, master.requires_grad_(true)});
    segments_.push_back({parameter.name, parameter.shape, segment.offset, master});
  }
  unit->master.requires_grad_(true);
  // with version counters of their own: gathering anew is no change of the weights that a kept graph saw
  const bool resident = group_.size() == 1 && policy_.master == policy_.compute;
  unit->whole = GatheredFlat(unit->master, layout.padded, policy_.compute, resident);
  for (const FlatParameter& parameter : layout.parameters)
    unit->leaves.push_back(view_of(unit->whole.whole(), parameter).variable_data().requires_grad_(true));
  unit->whole.empty();
  unit->tensors = unit->leaves;
  for (const Tensor& tensor : unit->frozen.tensors()) unit->tensors.push_back(tensor);
  units_.push_back(std::move(unit));
  return units_.size() - 1;
}

void ShardedModel::start_gather(Unit& unit) {
  if (unit.state != Unit::State::kReleased) return;
  unit.state = Unit::State::kGathering;
  const int64_t bytes = unit.whole_bytes();
  if (bytes == 0) return;
  unit.whole.start(group_, unit.master);
  unit.frozen.start(group_);
  grow(counters_.whole_bytes, counters_.whole_peak_bytes, bytes);
  ++counters_.gathers;
  counters_.gathered_bytes += bytes;
}

void ShardedModel::finish_gather(Unit& unit) {
  start_gather(unit);
  if (unit.state == Unit::State::kWhole) return;
  unit.whole.finish();
  unit.frozen.finish();
  unit.state = Unit::State::kWhole;
}

void ShardedModel::release(Unit& unit) {
  if (unit.state == Unit::State::kReleased) return;
  finish_gather(unit);
  unit.whole.empty();
  unit.frozen.empty();
  counters_.whole_bytes -= unit.whole_bytes();
  unit.state = Unit::State::kReleased;
}

void ShardedModel::prefetch(int64_t unit, bool backward) {
  if (!policy_.prefetch || unit < 0 || unit >= std::ssize(units_)) return;
  if (!backward || units_[unit]->weights_in_backward) start_gather(*units_[unit]);
}

/// At the first unit of a backward pass: the engine waits for the reductions at its end.
void ShardedModel::enter_backward() {
  if (in_backward_) return;
  in_backward_ = true;
  torch::autograd::Engine::get_default_engine().queue_callback([this] {
    wait_gradients();
    in_backward_ = false;
  });
}

/// Sums a unit's gradient over the processes, one unit at a time under way.
void ShardedModel::submit(Unit& unit, const std::vector<Tensor>& gradients) {
  if (gradients.empty()) return;
  const c10::NoGradGuard no_grad;
  if (group_.size() == 1) {  // nothing to sum
    for (const Unit::Piece& piece : unit.pieces)
      if (const Tensor& gradient = gradients[piece.parameter]; gradient.defined())
        add_gradient(piece.master, kept(gradient, policy_.master));
    return;
  }
  const at::TensorOptions options = at::TensorOptions(policy_.device).dtype(policy_.reduce);
  const Tensor flat = at::zeros({unit.layout.padded}, options);
  for (size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i].defined()) view_of(flat, unit.layout.parameters[i]).copy_(gradients[i]);
  const auto bytes = static_cast<int64_t>(flat.nbytes());
  grow(counters_.gradient_bytes, counters_.gradient_peak_bytes, bytes);
  while (!reductions_.empty()) finish_reduction();
  const Tensor shard = at::empty({unit.layout.shard}, options);
  reductions_.push_back({&unit, group_.reduce_scatter(shard, flat), flat, shard});
  ++counters_.reductions;
  counters_.reduced_bytes += bytes;
}

void ShardedModel::finish_reduction() {
  const c10::NoGradGuard no_grad;
  Reduction& reduction = reductions_.front();
  reduction.work.wait();
  const Tensor shard = reduction.shard.to(policy_.master);
  for (const Unit::Piece& piece : reduction.unit->pieces)
    add_gradient(piece.master, shard.narrow(0, piece.shard.begin, piece.shard.size()));
  counters_.gradient_bytes -= static_cast<int64_t>(reduction.flat.nbytes());
  reductions_.pop_front();
}

/// What no pass has reached has a gradient of zero, as in every other process.
void ShardedModel::wait_gradients() {
  const c10::NoGradGuard no_grad;
  while (!reductions_.empty()) finish_reduction();
  for (const auto& unit : units_)
    for (const Unit::Piece& piece : unit->pieces)
      if (!piece.master.grad().defined()) piece.master.mutable_grad() = at::zeros_like(piece.master);
}

void ShardedModel::release_all() {
  for (const auto& unit : units_) release(*unit);
}

void ShardedModel::abandon() {
  reductions_.clear();
  counters_.gradient_bytes = 0;
  in_backward_ = false;
  release_all();
}

std::vector<std::pair<std::string, Tensor>> ShardedModel::whole(size_t unit) {
  const c10::NoGradGuard no_grad;
  const Unit& of = *units_.at(unit);
  const Tensor flat = at::empty({of.layout.padded}, of.master.options().requires_grad(false));
  group_.all_gather(flat, of.master.detach()).wait();
  std::vector<std::pair<std::string, Tensor>> parameters;
  for (const FlatParameter& parameter : of.layout.parameters)
    parameters.push_back({parameter.name, view_of(flat, parameter)});
  return parameters;
}

std::vector<Tensor> ShardedModel::whole_frozen(size_t unit) {
  return units_.at(unit)->frozen.gathered(group_);
}

namespace {
/// What the backward pass of one use of a unit needs beside tensors.
struct PassHolder : torch::CustomClassHolder {
  explicit PassHolder(ShardedModel::Pass of) : pass(std::move(of)) {}
  ShardedModel::Pass pass;
};
}  // namespace

/// The shard is an input so that the first unit, whose inputs are ids, has a node as well; its gradient goes
/// into `gradient` beside autograd, which could otherwise not start the next unit before the sum is there.
struct ShardedModel::UnitFunction : torch::autograd::Function<UnitFunction> {
  static std::vector<Tensor> apart(at::TensorList inputs) {
    std::vector<Tensor> result;
    for (const Tensor& input : inputs) result.push_back(input.detach().requires_grad_(input.requires_grad()));
    return result;
  }

  static Tensor forward(AutogradContext* context, const Tensor&, ShardedModel* model, Unit* unit,
                        const c10::intrusive_ptr<torch::CustomClassHolder>& holder, at::TensorList inputs) {
    const Pass& pass = static_cast<const PassHolder&>(*holder).pass;
    context->saved_data["model"] = reinterpret_cast<int64_t>(model);
    context->saved_data["unit"] = reinterpret_cast<int64_t>(unit);
    context->saved_data["pass"] = c10::IValue::make_capsule(holder);
    model->finish_gather(*unit);
    const auto index = static_cast<int64_t>(unit->index);
    model->prefetch(index + 1, false);
    Tensor out;
    if (pass.recompute) {
      context->save_for_backward(inputs.vec());
      out = pass.function(unit->tensors, inputs);  // no graph: a Function's forward runs without
    } else {
      const std::vector<Tensor> own = apart(inputs);
      const at::AutoGradMode with_grad(true);
      out = pass.function(unit->tensors, own);
      context->saved_data["inputs"] = c10::List<Tensor>(own);
      context->saved_data["out"] = out;
      out = out.detach();
    }
    // the last unit's backward comes next
    if (model->policy_.release && index + 1 < std::ssize(model->units_)) model->release(*unit);
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    auto* model = reinterpret_cast<ShardedModel*>(context->saved_data["model"].toInt());
    auto* unit = reinterpret_cast<Unit*>(context->saved_data["unit"].toInt());
    const auto holder = context->saved_data["pass"].toCapsule();
    const Pass& pass = static_cast<const PassHolder&>(*holder).pass;
    model->enter_backward();
    if (pass.recompute || pass.weights_in_backward) model->finish_gather(*unit);
    model->prefetch(static_cast<int64_t>(unit->index) - 1, true);
    std::vector<Tensor> inputs;
    Tensor out;
    if (pass.recompute) {
      inputs = apart(context->get_saved_variables());
      const at::AutoGradMode with_grad(true);
      out = pass.function(unit->tensors, inputs);
    } else {
      inputs = context->saved_data["inputs"].toTensorVector();
      out = context->saved_data["out"].toTensor();
      context->saved_data.erase("inputs"), context->saved_data.erase("out");
    }
    std::vector<Tensor> wanted = unit->leaves;
    for (const Tensor& input : inputs)
      if (input.requires_grad()) wanted.push_back(input);
    make_room_for_gradients(unit->leaves);
    tensor_list found = torch::autograd::grad({out}, wanted, {grads[0]}, /*retain_graph=*/false,
                                              /*create_graph=*/false, /*allow_unused=*/true);
    tensor_list result(4);  // of the shard, the model, the unit and the pass
    size_t next = unit->leaves.size();
    for (const Tensor& input : inputs) result.push_back(input.requires_grad() ? found[next++] : Tensor());
    found.resize(unit->leaves.size());
    if (model->policy_.release) model->release(*unit);
    model->submit(*unit, found);
    return result;
  }
};

/// Whether anything that is trained lies in the unit or before it.
bool ShardedModel::needs_graph(const Unit& unit, at::TensorList inputs) {
  return at::GradMode::is_enabled() &&
         (!unit.leaves.empty() ||
          std::ranges::any_of(inputs, [](const Tensor& input) { return input.requires_grad(); }));
}

Tensor ShardedModel::run(size_t unit, const Pass& pass, at::TensorList inputs) {
  Unit& of = *units_.at(unit);
  const bool graph = needs_graph(of, inputs);
  of.weights_in_backward = graph && (pass.recompute || pass.weights_in_backward);
  if (graph) return UnitFunction::apply(of.master, this, &of, c10::make_intrusive<PassHolder>(pass), inputs);
  const c10::NoGradGuard no_grad;
  finish_gather(of);
  prefetch(static_cast<int64_t>(unit) + 1, false);
  Tensor out = pass.function(of.tensors, inputs);
  if (policy_.release) release(of);
  return out;
}

}  // namespace mmada
