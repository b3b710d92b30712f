// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mmada/model/checkpoint.h"
#include "mmada/model/sharded_transformer.h"
#include "mmada/trainer/train_step.h"

namespace mmada {

/// What every training of the transformer shares: its parameters in shards, and how it is saved.
class TransformerStep : public TrainStep {
 public:
  struct Network {
    Model model;  ///< all but the weights, which are the transformer's
    std::unique_ptr<ShardedTransformer> transformer;
    at::TensorOptions weights;     ///< type and device of the weights that are saved and that generate
    std::string tokenizer_source;  ///< whose tokenizer files are saved with the model
  };
  explicit TransformerStep(Network network) : network_(std::move(network)) {}

  std::vector<TrainedTensor> parameters() const override { return trained_pieces(*network_.transformer); }
  const Group& group() const override { return network_.transformer->shards().group(); }
  std::function<void()> stage_model(const std::string& directory) override;

  ShardedTransformer& transformer() const { return *network_.transformer; }

 protected:
  const Model& model() const { return network_.model; }
  const at::TensorOptions& weights() const { return network_.weights; }
  /// The model with all weights in one place. Every process calls it; where `keep` is false they are empty.
  Model whole_model(bool keep) const;

  /// Sums of a step's passes, on the device. They are read together at its end, for the host then waits for
  /// all that the device was given.
  at::Tensor zero_sums(int64_t count) const;
  static std::vector<double> read_sums(const at::Tensor& sums);

  /// What adapters stand on, as "lora_base" of the state; nothing where there are none.
  void add_lora_base(Json* state) const;
  void check_lora_base(Fields& state) const;

 private:
  Network network_;
};

}  // namespace mmada
