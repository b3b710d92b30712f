// SPDX-License-Identifier: MIT
// image_reward_probe MODEL REQUEST OUTPUT: what ImageReward makes of the "texts" and as many "images" (paths)
// of a JSON file, as tensors `ids`, `given`, `pixels`, `scores` of a safetensors file.
#include "mmada/vision/image_reward.h"

#include <ATen/ATen.h>

#include <exception>
#include <iostream>

#include "mmada/core/json.h"
#include "mmada/model/tensor_file.h"

int main(int argc, char** argv) try {
  if (argc != 4) throw mmada::UsageError("usage: image_reward_probe MODEL REQUEST OUTPUT");
  const mmada::ImageRewardModel model = mmada::load_image_reward(argv[1]);
  const mmada::Json json = mmada::read_json_file(argv[2]);
  mmada::Fields request(json, argv[2]);
  std::vector<mmada::Image> images;
  for (const std::string& path : request.strings("images")) images.push_back(mmada::read_image(path));
  std::vector<const mmada::Image*> pointers;
  for (const mmada::Image& image : images) pointers.push_back(&image);
  const auto prompts = model.prompts(request.strings("texts"));
  const at::Tensor pixels = model.pixels(pointers);
  mmada::write_tensor_file(argv[3],
                           {{"ids", prompts.ids_BT},
                            {"given", prompts.given_BT.to(at::kLong)},
                            {"pixels", pixels},
                            {"scores", model.network.scores(pixels, prompts.ids_BT, prompts.given_BT)}});
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
