// SPDX-License-Identifier: MIT
// `mmada tokenize image`: pictures to codes.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>
#include <memory>

#include "mmada/cli/compute_flags.h"
#include "mmada/cli/tensor_input.h"
#include "mmada/cli/verb.h"
#include "mmada/model/tensor_file.h"
#include "mmada/vision/magvit2.h"
#include "mmada/vision/transforms.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string tokenizer, pixels, image, output, size, fit = "clip";
  ComputeFlags compute;
  bool json = false;
};

at::Tensor read_pixels(const std::string& path) {
  const at::Tensor image =
      take_tensor(read_tensor_file(path),
                  {.name = "image", .shape = "[B, 3, H, W]", .dimensions = 4, .integer = false}, path);
  MMADA_CHECK(image.isfinite().all().item<bool>(), path,
              ": tensor \"image\": found non-finite values, expected pixels in [-1, 1]");
  return image;
}

/// "HxW" in pixels, or the picture's own size without what the factor leaves over.
std::pair<int64_t, int64_t> target_size(const std::string& size, const Image& image, int64_t factor) {
  if (size.empty())
    return {std::max(image.height / factor, int64_t{1}) * factor,
            std::max(image.width / factor, int64_t{1}) * factor};
  long long height = 0, width = 0;
  int end = 0;
  const bool parsed = std::sscanf(size.c_str(), "%lldx%lld%n", &height, &width, &end) == 2;
  if (!parsed || end != std::ssize(size) || height < factor || width < factor || height > 65536 ||
      width > 65536 || height % factor != 0 || width % factor != 0)
    throw UsageError(cat("--size: found `", size, "`, expected HxW in pixels, both multiples of ", factor));
  return {height, width};
}

at::Tensor load_picture(const Options& options, int64_t factor) {
  if (!options.pixels.empty()) return read_pixels(options.pixels);
  const Image image = read_image(options.image);
  const auto [height, width] = target_size(options.size, image, factor);
  return image_to_tensor(image, height, width, fit_from_name(options.fit)).unsqueeze(0);
}

Json code_lists(const at::Tensor& codes_BN) {
  Json lists = Json::array();
  for (const at::Tensor& row : codes_BN.unbind(0)) {
    const int64_t* data = row.const_data_ptr<int64_t>();
    lists.push_back(std::vector<int64_t>(data, data + row.numel()));
  }
  return lists;
}

void run(const Options& options) {
  const at::NoGradGuard no_grad;
  const Magvit2 tokenizer = load_image_tokenizer(options.tokenizer, start_computing(options.compute));
  const at::Tensor pictures =
      load_picture(options, tokenizer.config().factor()).to(tokenizer.options().device());
  const at::Tensor codes = tokenizer.encode(pictures).cpu().contiguous();
  const at::Tensor codes_BN = codes.flatten(1);
  if (!options.output.empty())
    write_tensor_file(options.output, {{"codes", codes_BN},
                                       {"shape", at::tensor({codes.size(1), codes.size(2)}, at::kLong)}});
  if (options.json)
    return print_json({{"codes", code_lists(codes_BN)}, {"grid", {codes.size(1), codes.size(2)}}});
  if (!options.output.empty()) return;
  for (const Json& list : code_lists(codes_BN)) {
    const std::string text = list.dump();
    std::printf("%s\n", text.substr(1, text.size() - 2).c_str());
  }
}

}  // namespace

void add_tokenize_image(CLI::App& media) {
  auto* verb =
      media.add_subcommand("image", "Turn pictures into image codes (printed unless --output is given)");
  auto options = std::make_shared<Options>();
  verb->add_option("--image-tokenizer", options->tokenizer, "Image tokenizer directory")->required();
  auto* source = verb->add_option_group("source", "Where the pictures come from")->require_option(1);
  source->add_option("--pixels", options->pixels, "Safetensors file: image fp32 [B,3,H,W] in [-1,1]");
  auto* image = source->add_option("--image", options->image, "A picture: PNG, JPEG or WebP");
  verb->add_option("--output", options->output,
                   "Safetensors file to write: codes int64 [B,h*w] row-major, shape int64 [2] = h, w");
  verb->add_option("--size", options->size,
                   "HxW in pixels to which --image is brought (default: its own, cut to whole tokens)")
      ->needs(image);
  verb->add_option("--fit", options->fit, "How --image is brought to the size: clip, squash or pad")
      ->check(CLI::IsMember({"clip", "squash", "pad"}))
      ->capture_default_str()
      ->needs(image);
  add_compute_flags(*verb, &options->compute);
  verb->add_flag("--json", options->json,
                 "Print one JSON object: codes (a list per picture) and grid [h, w]");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
