// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mmada/distributed/frozen_flat.h"
#include "mmada/distributed/group.h"

namespace mmada {

/// How a model is spread over processes (ZeRO-3 unless said otherwise).
struct ShardPolicy {
  /// Whether a unit's whole parameters are let go after its forward and after its backward; false: they stay
  /// until release_all() (ZeRO-2).
  bool release = true;
  /// Start gathering the next unit while one computes.
  bool prefetch = true;
  at::ScalarType master = at::kFloat;   ///< of the shards and their gradients
  at::ScalarType compute = at::kFloat;  ///< of the whole parameters
  at::ScalarType reduce = at::kFloat;   ///< of gradients while they are summed
  at::Device device = at::kCPU;         ///< where all of them live
  int64_t alignment = 64;               ///< elements; 256 for 8-bit optimizer states
};

/// What the sharding has done and holds, in this process.
struct ShardCounters {
  int64_t gathers = 0, reductions = 0;
  int64_t gathered_bytes = 0, reduced_bytes = 0;        ///< sent through the two collectives, whole units
  int64_t whole_bytes = 0, whole_peak_bytes = 0;        ///< whole parameters held
  int64_t gradient_bytes = 0, gradient_peak_bytes = 0;  ///< whole gradients held
  int64_t frozen_bytes = 0;                             ///< of this process's shards of frozen tensors
};

/// A piece of a parameter that this process owns.
struct ShardSegment {
  std::string name;
  std::vector<int64_t> shape;  ///< of the whole parameter
  int64_t offset = 0;          ///< of the piece in the flattened parameter
  at::Tensor master;  ///< the piece, 1-D, a view of the shard; its grad is the piece's gradient, once
                      ///< there was a backward pass
};

/// A chain of units (embedding, blocks, head) whose parameters lie in shards, one for each process, and are
/// whole only around their use.
///
/// Gradients are summed over processes, never averaged: the loss is divided by what all processes count
/// together. Every process runs the same units in the same order. A step: release_all(), for the shards have
/// changed; run() the units and backward(), as often as there are micro-batches: gradients add up in those of
/// the segments; update the segments by them and let them go (no gradient is held between steps). A process
/// alone whose masters have the compute type holds no second copy.
///
/// Frozen tensors of a unit are a second flat tensor, of bytes: they are cut into shards and gathered with
/// the parameters, in the types in which they are used, and have no masters, gradients or segments. A process
/// alone holds them once. What quantised ones stand for is the pass's affair: a pass that dequantises one at
/// a time never has a whole unit dequantised. Units before the first that is trained run no backward pass.
class ShardedModel {
 public:
  using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;
  /// Fills a whole parameter; called for one unit at a time, in every process alike.
  using Fill = std::function<void(const std::string& name, const at::Tensor& parameter)>;
  /// One use of a unit: its output of its parameters and after them its frozen tensors, in the order given,
  /// and its inputs.
  struct Pass {
    std::function<at::Tensor(at::TensorList parameters, at::TensorList inputs)> function;
    /// Run the function, which has to be pure, anew in the backward pass, instead of keeping its graph.
    bool recompute = true;
    /// False: the backward pass of the kept graph reads no weights (an embedding's), so that none are
    /// gathered for it.
    bool weights_in_backward = true;
  };

  ShardedModel(Group group, ShardPolicy policy);
  ~ShardedModel();
  ShardedModel(const ShardedModel&) = delete;  // graphs point at it
  ShardedModel& operator=(const ShardedModel&) = delete;

  /// Adds the next unit and returns its number.
  size_t add(const std::string& name, const NamedShapes& shapes, const Fill& fill,
             const std::vector<FrozenTensor>& frozen = {}, const FrozenFlat::Fill& fill_frozen = nullptr);
  size_t units() const { return units_.size(); }
  /// Runs a unit; differentiable in the inputs, and in the parameters by way of their segments' gradients.
  at::Tensor run(size_t unit, const Pass& pass, at::TensorList inputs);

  /// Lets go of whole parameters, which have to be gathered anew once their shards changed.
  void release_all();
  /// After an error inside a step: forgets what is under way.
  void abandon();

  const std::vector<ShardSegment>& segments() const { return segments_; }
  /// A unit's parameters, whole, in the masters' type: for saving, one unit at a time. Every process calls
  /// it.
  std::vector<std::pair<std::string, at::Tensor>> whole(size_t unit);
  /// A unit's frozen tensors, whole, likewise.
  std::vector<at::Tensor> whole_frozen(size_t unit);
  const ShardCounters& counters() const { return counters_; }
  const Group& group() const { return group_; }

 private:
  struct Unit;
  struct UnitFunction;
  struct Reduction {
    Unit* unit;
    Group::Work work;
    at::Tensor flat, shard;
  };

  static bool needs_graph(const Unit& unit, at::TensorList inputs);
  void start_gather(Unit& unit);
  void finish_gather(Unit& unit);
  void release(Unit& unit);
  void prefetch(int64_t unit, bool backward);
  void enter_backward();
  void submit(Unit& unit, const std::vector<at::Tensor>& gradients);
  void finish_reduction();
  void wait_gradients();

  Group group_;
  ShardPolicy policy_;
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<ShardSegment> segments_;
  std::deque<Reduction> reductions_;
  bool in_backward_ = false;
  ShardCounters counters_;
};

}  // namespace mmada
