// SPDX-License-Identifier: MIT
// clip_probe MODEL REQUEST OUTPUT: what CLIP makes of the "texts" and "images" (paths) of a JSON file, as
// tensors `ids`, `pixels`, `text`, `image` of a safetensors file, for the comparison with transformers.
#include <ATen/ATen.h>

#include <exception>
#include <iostream>

#include "mmada/core/json.h"
#include "mmada/model/tensor_file.h"
#include "mmada/vision/clip.h"

int main(int argc, char** argv) try {
  if (argc != 4) throw mmada::UsageError("usage: clip_probe MODEL REQUEST OUTPUT");
  const mmada::ClipModel clip = mmada::load_clip(argv[1]);
  const mmada::Json json = mmada::read_json_file(argv[2]);
  mmada::Fields request(json, argv[2]);
  std::vector<mmada::Image> images;
  for (const std::string& path : request.strings("images")) images.push_back(mmada::read_image(path));
  std::vector<const mmada::Image*> pointers;
  for (const mmada::Image& image : images) pointers.push_back(&image);
  const at::Tensor ids = clip.ids(request.strings("texts")), pixels = clip.pixels(pointers);
  mmada::write_tensor_file(argv[3], {{"ids", ids},
                                     {"pixels", pixels},
                                     {"text", clip.network.text_features(ids)},
                                     {"image", clip.network.image_features(pixels)}});
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
