// SPDX-License-Identifier: MIT
#include <mmada/mmada.h>

#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 4) return std::fprintf(stderr, "usage: link_library MODEL IMAGE_TOKENIZER MASK.png\n"), 2;
  auto model =
      mmada::load_model(argv[1], {.device = "cpu", .dtype = "fp32"});  // transformer, tokenizer, token ids
  auto images = mmada::load_image_tokenizer(argv[2], {.device = "cpu"});
  mmada::Generator generate(model, images);
  auto answer =
      generate.text("What is 2 + 3?", {.gen_length = 32, .block_length = 16, .steps = 32, .think = true});
  auto picture = generate.image("a red circle", {.steps = 15, .guidance_scale = 3.5, .seed = 7});
  auto reply =
      generate.understand(picture, "What shape is it?", {.gen_length = 16, .block_length = 16, .steps = 16});
  auto mended = generate.inpaint(picture, mmada::read_mask(argv[3]), "a blue square");
  mmada::write_image("mended.png", mended);
  std::printf("%s\n%s\n", answer.text.c_str(), reply.text.c_str());
} catch (const mmada::Error& error) {
  return std::fprintf(stderr, "link_library: %s\n", error.what()), 1;
}
