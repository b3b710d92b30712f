// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/request.h"
#include "mmada/cli/verb.h"
#include "mmada/core/check.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
  std::string image;
  std::string prompt;
  std::string answer;
  std::string prompt_ids;
};

TextAnswer reply(const Generator& generate, const Options& flags, const TextOptions& options) {
  if (!flags.prompt_ids.empty())
    return generate.run(TextRequest{parse_ids(flags.prompt_ids, "--prompt-ids"), options});
  const Image picture = read_image(flags.image);
  if (!flags.answer.empty()) return generate.complete(picture, flags.prompt, flags.answer, options);
  return generate.understand(picture, flags.prompt, options);
}

void run_mmu(const Options& flags) {
  if (flags.prompt_ids.empty() && (flags.image.empty() || flags.prompt.empty()))
    throw UsageError("mmu: expected --image and --prompt, or --prompt-ids");
  answer(flags.model, flags.text, "mmu", [&](const Generator& generate, const TextOptions& options) {
    return reply(generate, flags, options);
  });
}

}  // namespace

void add_mmu(CLI::App& app) {
  auto* verb = app.add_subcommand("mmu", "Answer a question about a picture");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  auto* image = verb->add_option("-i,--image", flags->image, "The picture: PNG, JPEG or WebP");
  auto* prompt = verb->add_option("-p,--prompt", flags->prompt, "The question");
  auto* answer = verb->add_option("--answer", flags->answer,
                                  "Parts of the answer, with [MASK:n] for n tokens to fill in between");
  verb->add_option("--prompt-ids", flags->prompt_ids,
                   "Ids 1,2,3 of the whole prompt row, picture included, instead")
      ->excludes(image, prompt, answer);
  add_text_flags(*verb, &flags->text, true, true);
  verb->callback([flags] { run_mmu(*flags); });
}

}  // namespace mmada::cli
