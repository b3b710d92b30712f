// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "mmada/core/json.h"
#include "mmada/data/sample.h"
#include "mmada/trainer/drawn_ahead.h"
#include "mmada/vision/transforms.h"

namespace mmada {

/// The pictures that an image tokenizer trains on, brought to size and augmented beside the training.
class TrainingPictures {
 public:
  struct Options {
    int64_t rows = 8;  ///< pictures per batch
    int64_t resolution = 256;
    Fit fit = Fit::kClip;         ///< of pictures whose source says none
    bool random_crop = false;     ///< with kClip: anywhere in place of the middle
    bool flip = false;            ///< half of them mirrored
    int64_t batches = INT64_MAX;  ///< of the whole run: nothing is drawn ahead beyond them
    uint64_t seed = 0;
  };
  TrainingPictures(std::unique_ptr<SampleSource> source, const Options& options);

  /// [rows, 3, resolution, resolution] of a batch of the run, fp32 on the CPU.
  at::Tensor take(int64_t batch);
  /// The source's first pictures as they are, in a resumed run too.
  at::Tensor first(int64_t count);

  /// Position behind the batches that were taken.
  const Json& state() const { return taken_; }
  void restore(const Json& position);

 private:
  at::Tensor whole(const Sample& sample) const;
  at::Tensor draw(int64_t batch);

  std::unique_ptr<SampleSource> source_;
  Options options_;
  Json beginning_;  ///< the source's first position
  Json taken_;
  DrawnAhead<at::Tensor> ahead_;
};

}  // namespace mmada
