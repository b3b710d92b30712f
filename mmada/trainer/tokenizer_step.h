// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/trainer/tokenizer_loss.h"
#include "mmada/trainer/train_step.h"
#include "mmada/vision/magvit2.h"
#include "mmada/vision/transforms.h"

namespace mmada {

/// Training of the image tokenizer: reconstruction of the source's pictures.
class TokenizerStep : public TrainStep {
 public:
  struct Options {
    int64_t rows = 8;  ///< pictures per micro-batch
    int64_t micro_batches = 1;
    int64_t resolution = 256;
    Fit fit = Fit::kClip;
    int64_t max_train_steps = 1;  ///< of the whole run, for what is annealed
    TokenizerLossOptions loss;
    uint64_t seed = 0;
  };
  TokenizerStep(Magvit2 tokenizer, std::unique_ptr<SampleSource> source, const Options& options);

  std::vector<TrainedTensor> parameters() const override;
  const Group& group() const override { return alone_; }
  StepReport compute(int64_t step) override;
  Json state() const override { return {{"source", source_->state()}}; }
  void restore(const Json& state) override;
  void save_model(const std::string& directory) override { save_image_tokenizer(tokenizer_, directory); }
  /// Peak signal-to-noise ratio (dB, pictures in [0, 1]) and the number of codes used, on a fixed set of
  /// pictures.
  Evaluation evaluate(int64_t step) override;

 private:
  at::Tensor draw(SampleSource& source, int64_t count) const;

  Group alone_;
  Magvit2 tokenizer_;
  std::unique_ptr<SampleSource> source_;
  Options options_;
  at::Tensor held_;  ///< the pictures of evaluate()
};

TokenizerLossOptions parse_tokenizer_loss(Fields fields);

}  // namespace mmada
