// SPDX-License-Identifier: MIT
// `mmada detokenize image`: codes to pictures.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
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
  std::string tokenizer, codes, output;
  ComputeFlags compute;
  bool json = false;
};

/// The grid of N codes: `shape` where the file has it, else a square (SPEC 2, decode_code).
std::pair<int64_t, int64_t> read_grid(const std::map<std::string, at::Tensor>& tensors, int64_t count,
                                      const std::string& source) {
  if (!tensors.contains("shape")) {
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
    MMADA_CHECK(side * side == count, source, ": tensor \"codes\": found ", count,
                " codes per picture and no tensor \"shape\", expected a square number");
    return {side, side};
  }
  const at::Tensor grid = take_tensor(tensors, {.name = "shape", .shape = "[2]", .dimensions = 1}, source);
  MMADA_CHECK(grid.numel() == 2, source, ": tensor \"shape\": found ", grid.numel(),
              " numbers, expected 2: h, w");
  const int64_t height = grid[0].item<int64_t>(), width = grid[1].item<int64_t>();
  MMADA_CHECK(height > 0 && width > 0 && height <= count && width <= count && height * width == count, source,
              ": tensor \"shape\": found ", height, " x ", width, ", expected ", count, " codes in all");
  return {height, width};
}

at::Tensor read_codes(const std::string& path) {
  const auto tensors = read_tensor_file(path);
  const at::Tensor codes =
      take_tensor(tensors, {.name = "codes", .shape = "[B, h*w]", .dimensions = 2}, path);
  const auto [height, width] = read_grid(tensors, codes.size(1), path);
  return codes.view({codes.size(0), height, width});
}

void write_result(const std::string& path, const at::Tensor& pictures) {
  if (path.ends_with(".safetensors")) return write_tensor_file(path, {{"image", pictures}});
  MMADA_CHECK(pictures.size(0) == 1, path, ": found ", pictures.size(0),
              " pictures, expected one for an image file (or an output that ends in .safetensors)");
  write_image(path, tensor_to_image(pictures[0]));
}

void run(const Options& options) {
  const at::NoGradGuard no_grad;
  if (!options.output.ends_with(".safetensors")) check_image_path(options.output);
  const LoadOptions load = start_computing(options.compute);
  const at::Tensor codes = read_codes(options.codes);
  const Magvit2 tokenizer = load_image_tokenizer(options.tokenizer, load);
  const at::Tensor pictures = tokenizer.decode(codes.to(tokenizer.options().device())).cpu().to(at::kFloat);
  write_result(options.output, pictures);
  if (options.json) return print_json({{"output", options.output}, {"shape", pictures.sizes().vec()}});
  std::printf("%s\n", options.output.c_str());
}

}  // namespace

void add_detokenize_image(CLI::App& media) {
  auto* verb = media.add_subcommand("image", "Turn image codes into pictures");
  auto options = std::make_shared<Options>();
  verb->add_option("--image-tokenizer", options->tokenizer, "Image tokenizer directory")->required();
  verb->add_option("--codes", options->codes,
                   "Safetensors file: codes int64 [B,h*w], optional shape int64 [2] = h, w (default: square)")
      ->required();
  verb->add_option("--output", options->output,
                   "File to write: .safetensors (image fp32 [B,3,H,W], not clamped), or .png, .jpg, .webp "
                   "for one picture")
      ->required();
  add_compute_flags(*verb, &options->compute);
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
