// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mmada/distributed/environment.h"
#include "mmada/trainer/build_model.h"
#include "mmada/trainer/run_plan.h"
#include "mmada/trainer/sample_encoder.h"
#include "mmada/trainer/trainer_options.h"
#include "mmada/trainer/transformer_step.h"

namespace mmada {

/// What trains the transformer, whatever it learns from, before any memory is taken for its weights.
struct TransformerSetup {
  BuiltModel built;
  SampleEncoder encoder;
  ShardPolicy policy;
  Recompute recompute = Recompute::kNothing;
  std::optional<LoraOptions> lora;
  bool averaged_weights = false, moments_8bit = false;  ///< of AdamWOptions
};

/// The fields "model", "image_tokenizer", "sharding" and "lora" of a configuration, read at once; load()
/// loads tokenizers and sizes.
class TransformerFields {
 public:
  TransformerFields(Fields& config, const TrainerOptions& trainer, const LoadOptions& load);
  TransformerSetup load();

 private:
  struct Pictures {
    std::string path;
    SampleEncoder::Options options;
  };
  static Pictures parse_pictures(Fields fields);
  void parse_sharding(Fields fields);

  AdamWOptions optimizer_;
  LoadOptions load_;
  uint64_t seed_;
  Pictures pictures_;
  ShardPolicy policy_;
  Recompute recompute_ = Recompute::kNothing;
  Fields model_;
  std::optional<Fields> lora_;
};

/// Takes the memory and fills the shards.
TransformerStep::Network make_network(TransformerSetup setup, Group group);

RunShape run_shape(const TransformerSetup& setup, int64_t processes, int64_t micro_batches,
                   std::vector<PassShape> passes);
/// Throws where the processes of this machine need more memory than it has left.
void check_room(const RunShape& run, const ProcessEnvironment& environment, const std::string& source);

}  // namespace mmada
