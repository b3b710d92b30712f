// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/trainer/tokenizer_loss.h"
#include "mmada/trainer/train_step.h"
#include "mmada/trainer/training_pictures.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// Training of the image tokenizer: reconstruction of the source's pictures, judged by pixels, by a
/// perceptual distance and by a discriminator that is trained along. The discriminator's parameters are the
/// optimizer's like the tokenizer's and are saved with it; the published model does not hold them.
class TokenizerStep : public TrainStep {
 public:
  struct Options {
    TrainingPictures::Options pictures;  ///< a batch of which is a micro-batch; its seed is the run's
    int64_t micro_batches = 1;
    int64_t max_train_steps = 1;  ///< of the whole run, for what is annealed
    TokenizerLossOptions loss;
  };
  TokenizerStep(Magvit2 tokenizer, std::unique_ptr<SampleSource> source, const Options& options);

  std::vector<TrainedTensor> parameters() const override;
  const Group& group() const override { return alone_; }
  StepReport compute(int64_t step) override;
  Json state() const override;
  void restore(const Json& state) override;
  std::function<void()> stage_model(const std::string& directory) override;
  /// Peak signal-to-noise ratio (dB, pictures in [0, 1]), LPIPS where it is trained on, and how the codes are
  /// spread over the codebook (number, share, perplexity), on a fixed set of pictures.
  Evaluation evaluate(int64_t step) override;

 private:
  void micro_batch(int64_t step, int64_t micro, double share, StepReport* report);
  at::Tensor last_layer() const;
  MetricValues measure(const at::Tensor& codes_Bhw, const at::Tensor& decoded_B3HW) const;

  Group alone_;
  Magvit2 tokenizer_;
  Options options_;
  TrainingPictures pictures_;
  std::optional<Lpips> perceptual_;
  std::optional<Adversary> adversary_;
  at::Tensor held_;  ///< the pictures of evaluate()
};

TokenizerLossOptions parse_tokenizer_loss(Fields fields);

}  // namespace mmada
