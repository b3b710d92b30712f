// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/trainer/tokenizer_loss.h"
#include "mmada/trainer/train_step.h"
#include "mmada/vision/magvit2.h"
#include "mmada/vision/transforms.h"

namespace mmada {

/// Training of the image tokenizer: reconstruction of the source's pictures, judged by pixels, by a
/// perceptual distance and by a discriminator that is trained along. The discriminator's parameters are the
/// optimizer's like the tokenizer's and are saved with it; the published model does not hold them.
class TokenizerStep : public TrainStep {
 public:
  struct Options {
    int64_t rows = 8;  ///< pictures per micro-batch
    int64_t micro_batches = 1;
    int64_t resolution = 256;
    Fit fit = Fit::kClip;         ///< of pictures whose source says none
    bool random_crop = false;     ///< of trained pictures, with kClip: anywhere in place of the middle
    bool flip = false;            ///< of trained pictures: half of them mirrored
    int64_t max_train_steps = 1;  ///< of the whole run, for what is annealed
    TokenizerLossOptions loss;
    uint64_t seed = 0;
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
  at::Tensor picture(const Sample& sample) const;
  at::Tensor held_pictures() const;
  at::Tensor training_pictures(int64_t first);
  at::Tensor stack(const std::vector<at::Tensor>& pictures) const;
  void micro_batch(int64_t step, int64_t micro, double share, StepReport* report);
  at::Tensor last_layer() const;
  MetricValues measure(const at::Tensor& codes_Bhw, const at::Tensor& decoded_B3HW) const;

  Group alone_;
  Magvit2 tokenizer_;
  std::unique_ptr<SampleSource> source_;
  Json beginning_;  ///< the source's first position
  Options options_;
  std::optional<Lpips> perceptual_;
  std::optional<Adversary> adversary_;
  at::Tensor held_;  ///< the pictures of evaluate()
};

TokenizerLossOptions parse_tokenizer_loss(Fields fields);

}  // namespace mmada
