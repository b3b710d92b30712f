// SPDX-License-Identifier: MIT
#include "mmada/rewards/picture_batches.h"

#include <ATen/ATen.h>

namespace mmada {

Scores judge_in_batches(std::span<const TextAndPicture> pairs, int64_t batch, const JudgePictures& judge) {
  Scores scores(pairs.size());
  std::vector<size_t> places;
  std::vector<std::string> texts;
  std::vector<const Image*> pictures;
  const auto flush = [&] {
    if (places.empty()) return;
    const at::Tensor found = judge(texts, pictures).to(at::kCPU, at::kDouble).contiguous();
    for (size_t i = 0; i < places.size(); ++i) scores[places[i]] = found.const_data_ptr<double>()[i];
    places.clear(), texts.clear(), pictures.clear();
  };
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].picture == nullptr) continue;
    places.push_back(i), texts.push_back(pairs[i].text), pictures.push_back(pairs[i].picture);
    if (std::ssize(places) == batch) flush();
  }
  flush();
  return scores;
}

}  // namespace mmada
