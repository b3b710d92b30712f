// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "mmada/cli/compute_flags.h"
#include "mmada/generation/generator.h"

namespace mmada::cli {

/// --model --image-tokenizer and where they compute: what every generating verb loads.
struct ModelFlags {
  std::string model;
  std::string image_tokenizer;
  ComputeFlags compute;
};
void add_model_flags(CLI::App& verb, ModelFlags* flags, bool image_tokenizer);
Generator load_generator(const ModelFlags& flags);

/// --prompt or --prompt-ids, of which a request has exactly one.
struct PromptFlags {
  std::string prompt;
  std::string prompt_ids;
};
/// The help of a verb's prompt flags.
struct PromptHelp {
  std::string title;
  std::string prompt = "The caption";
  std::string ids = "The caption's ids 1,2,3 instead, without bos and eos";
};
void add_prompt_flags(CLI::App& verb, PromptFlags* flags, const PromptHelp& help);
/// The ids given, or those of the prompt.
TokenIds prompt_ids(const Generator& generate, const PromptFlags& flags);

/// --seed --compat --attention-mode --greedy --sampler --json: what text and images share.
struct SamplingFlags {
  std::optional<int64_t> seed;
  std::string compat = "fixed";
  std::string attention_mode;
  std::string sampler;
  bool greedy = false;
  bool json = false;
  bool stats = false;
};

/// Flags given on the command line win over --sampler, which wins over the published method's defaults.
struct TextFlags {
  SamplingFlags sampling;
  std::optional<int64_t> gen_length, block_length, steps, top_k;
  std::optional<double> temperature, cfg_scale, threshold, top_p;
  std::optional<std::string> remasking, confidence, grid, fit;
  bool logits_eos_inf = false, confidence_eos_eot_inf = false, no_early_stop = false, think = false;
};
/// blocks: --gen-length and --block-length (not for holes); picture: --grid and --fit of a picture in
/// question.
void add_text_flags(CLI::App& verb, TextFlags* flags, bool blocks, bool picture);
TextOptions text_options(const TextFlags& flags);

struct ImageFlags {
  SamplingFlags sampling;
  std::optional<int64_t> steps, max_text_length;
  std::optional<double> guidance_scale, temperature;
  std::optional<std::string> schedule, grid, fit;
  int64_t uncond_prefix_length = 0;
  std::string init_codes, output, contact_sheet, observe;
};
void add_image_flags(CLI::App& verb, ImageFlags* flags);
ImageOptions image_options(const ImageFlags& flags);

/// Reasoning before a picture; what is not given is Generator::reasoning_options'.
struct ReasoningFlags {
  bool think = false;
  std::optional<int64_t> tokens, block, steps;
  std::optional<double> temperature, cfg_scale;
};
void add_reasoning_flags(CLI::App& verb, ReasoningFlags* flags);
/// `defaults` are for all that the budget leaves; fewer tokens mean fewer steps, too.
TextOptions reasoning_options(const ReasoningFlags& flags, TextOptions defaults);

/// Throws, before any work, when the flags ask for no answer at all, for pictures without an image tokenizer,
/// or for files that could not be written.
void require_picture_output(const ModelFlags& model, const ImageFlags& flags);
/// --image of the verbs that change a picture; --init-codes can stand in its place.
void add_picture_flag(CLI::App& verb, std::string* picture);

/// "1,2,3" -> ids.
TokenIds parse_ids(const std::string& text, const std::string& flag);
/// "16x16" -> rows, columns.
std::pair<int64_t, int64_t> parse_grid(const std::string& text);
/// A file's JSON list of codes (-1: to be generated) for the grid that the options ask for.
CodeGrid read_codes(const std::string& path, const Generator& generate, const ImageOptions& options);

/// Prints the answer: its text (its ids where there is no tokenizer), or under json one object with ids,
/// new_ids, text, nfe and seed; under --stats what it took, too.
void print_answer(const Generator& generate, const TextAnswer& answer, const SamplingFlags& flags,
                  uint64_t seed, const Work& work);
/// Writes --output and prints: under json one object with codes, grid, ids, nfe and seed; the reasoning,
/// where there was any, goes before the file's name, into its parameters, and into json as reasoning and
/// reasoning_ids.
void finish_picture(const Picture& picture, const ImageFlags& flags, const ImageOptions& options,
                    const std::string& prompt, const Work& work);

}  // namespace mmada::cli
