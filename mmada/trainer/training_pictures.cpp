// SPDX-License-Identifier: MIT
#include "mmada/trainer/training_pictures.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/trainer/sample_encoder.h"

namespace mmada {

TrainingPictures::TrainingPictures(std::unique_ptr<SampleSource> source, const Options& options)
    : source_(std::move(source)),
      options_(options),
      beginning_(source_->state()),
      taken_(beginning_),
      ahead_(
          "pictures", "batch", [this](int64_t batch) { return draw(batch); }, options.batches) {}

at::Tensor TrainingPictures::whole(const Sample& sample) const {
  return image_to_tensor(sample.image, options_.resolution, options_.resolution,
                         sample.fit.value_or(options_.fit));
}

at::Tensor TrainingPictures::draw(int64_t batch) {
  std::vector<at::Tensor> pictures;
  const int64_t side = options_.resolution;
  for (int64_t i = 0; i < options_.rows; ++i) {
    const Sample sample = source_->next();
    MMADA_CHECK(!options_.random_crop || sample.fit.value_or(Fit::kClip) == Fit::kClip,
                "image tokenizer training: found a source with the fit ", fit_name(*sample.fit),
                " beside `random_crop`, expected clip: the others leave nothing to cut");
    Rng rng(options_.seed, "augment", static_cast<uint64_t>(batch * options_.rows + i));
    Cut cut;
    if (options_.random_crop) cut.across = rng.uniform(), cut.down = rng.uniform();
    const bool mirrored = options_.flip && rng.uniform() < 0.5;
    const at::Tensor pixels =
        options_.random_crop ? cut_to_tensor(sample.image, side, side, cut) : whole(sample);
    pictures.push_back(mirrored ? pixels.flip({2}) : pixels);
  }
  return at::stack(pictures);
}

at::Tensor TrainingPictures::take(int64_t batch) {
  return ahead_.take(batch, [this] { taken_ = source_->state(); });
}

at::Tensor TrainingPictures::first(int64_t count) {
  ahead_.wait();
  const Json position = source_->state();
  source_->restore(beginning_);
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < count; ++i) pictures.push_back(whole(source_->next()));
  source_->restore(position);
  return at::stack(pictures);
}

void TrainingPictures::restore(const Json& position) {
  ahead_.forget();
  source_->restore(position);
  taken_ = source_->state();
}

}  // namespace mmada
