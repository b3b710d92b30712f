// SPDX-License-Identifier: MIT
#include "mmada/cli/generation_flags.h"

#include <charconv>
#include <cstdio>
#include <random>
#include <tuple>
#include <utility>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/core/version.h"

namespace mmada::cli {
namespace {

template <class T>
void override_with(const std::optional<T>& flag, T* value) {
  if (flag) *value = *flag;
}

uint64_t seed_of(const SamplingFlags& flags) {
  const int64_t seed = flags.seed.value_or(0);
  return seed < 0 ? std::random_device{}() : static_cast<uint64_t>(seed);
}

Compat compat_of(const SamplingFlags& flags) {
  Compat compat = Compat::from_name(flags.compat);
  if (!flags.attention_mode.empty()) compat.attention = attention_mode_from_name(flags.attention_mode);
  return compat;
}

void add_sampling_flags(CLI::App& verb, SamplingFlags* flags, const std::string& greedy) {
  verb.add_option("--seed", flags->seed, "Seed of all noise; -1: a random one, reported under --json [0]");
  verb.add_option("--compat", flags->compat,
                  "Behaviour: fixed, or reference with the published sampler's oddities")
      ->check(CLI::IsMember({"fixed", "reference"}))
      ->capture_default_str();
  verb.add_option("--attention-mode", flags->attention_mode, "How padding enters attention [hard]")
      ->check(CLI::IsMember({"hard", "none", "additive_one"}));
  verb.add_option("--sampler", flags->sampler,
                  "Sampling settings: a JSON file, or a name out of configs/sampler");
  verb.add_flag("--greedy", flags->greedy, greedy);
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.add_flag("--stats", flags->stats,
                "Also what it took: forward passes, tokens, logits, FLOPs, bytes of weights");
}

Json work_json(const Work& work) {
  return {{"forwards", work.forwards},       {"tokens", work.tokens},
          {"read_rows", work.read_rows},     {"logits", work.logits},
          {"layer_flops", work.layer_flops}, {"attention_flops", work.attention_flops},
          {"head_flops", work.head_flops},   {"weight_bytes", work.weight_bytes}};
}

/// Under --json a field of the object, else a line on standard error.
void add_stats(const SamplingFlags& flags, const Work& work, Json* json) {
  if (!flags.stats) return;
  if (flags.json)
    (*json)["stats"] = work_json(work);
  else
    std::fprintf(stderr, "stats: %s\n", work_json(work).dump().c_str());
}

std::string parameters_text(const std::string& prompt, const ImageOptions& options, const Picture& picture) {
  return cat(prompt, "\nSteps: ", options.steps, ", Guidance scale: ", options.guidance_scale,
             ", Temperature: ", options.temperature, ", Schedule: ", options.schedule,
             ", Seed: ", options.seed, ", Grid: ", picture.grid.rows, "x", picture.grid.columns,
             options.greedy ? ", Greedy: yes" : "", ", Version: mmada " MMADA_VERSION,
             picture.reasoning.empty() ? "" : "\nReasoning: ", picture.reasoning);
}

}  // namespace

void add_model_flags(CLI::App& verb, ModelFlags* flags, bool image_tokenizer) {
  verb.add_option("-m,--model", flags->model, "Checkpoint directory")->required();
  if (image_tokenizer)
    verb.add_option("--image-tokenizer", flags->image_tokenizer,
                    "Directory of the image tokenizer (MAGVIT-v2)");
  add_compute_flags(verb, &flags->compute);
}

Generator load_generator(const ModelFlags& flags) {
  Model model = load_model(flags.model, start_computing(flags.compute));
  if (flags.image_tokenizer.empty()) return Generator(std::move(model));
  return Generator(std::move(model),
                   load_image_tokenizer(flags.image_tokenizer, {.device = flags.compute.device}));
}

void add_prompt_flags(CLI::App& verb, PromptFlags* flags, const PromptHelp& help) {
  auto* group = verb.add_option_group("prompt", help.title);
  group->add_option("-p,--prompt", flags->prompt, help.prompt);
  group->add_option("--prompt-ids", flags->prompt_ids, help.ids);
  group->require_option(1);
}

TokenIds prompt_ids(const Generator& generate, const PromptFlags& flags) {
  return flags.prompt_ids.empty() ? generate.encode_text(flags.prompt)
                                  : parse_ids(flags.prompt_ids, "--prompt-ids");
}

void add_text_flags(CLI::App& verb, TextFlags* flags, bool blocks, bool picture) {
  if (blocks) {
    verb.add_option("-n,--gen-length", flags->gen_length,
                    "Tokens to generate, a multiple of the block length [128]");
    verb.add_option("--block-length", flags->block_length,
                    "Tokens of a block; blocks are filled in order [128]");
    verb.add_flag("--no-early-stop", flags->no_early_stop, "Take every step even when the answer has ended");
  }
  verb.add_option("--steps", flags->steps, "Denoising steps over all blocks [128]");
  verb.add_option("--temperature", flags->temperature, "Gumbel noise on the token choice; 0: argmax [0]");
  verb.add_option("--cfg-scale", flags->cfg_scale, "Classifier-free guidance; 0: off [0]");
  verb.add_option("--remasking", flags->remasking,
                  "low_confidence, random or low_confidence_dynamic [low_confidence]");
  verb.add_option("--confidence", flags->confidence,
                  "What ranks the tokens: confidence, margin_confidence, neg_entropy or random [confidence]");
  verb.add_option("--threshold", flags->threshold,
                  "Confidence that low_confidence_dynamic commits at [0.95]");
  verb.add_option("--top-k", flags->top_k, "Choose among the k best tokens; 0: all [0]");
  verb.add_option("--top-p", flags->top_p, "Choose in the nucleus of this probability [1]");
  verb.add_flag("--logits-eos-inf", flags->logits_eos_inf, "Never choose the end of text");
  verb.add_flag("--confidence-eos-eot-inf", flags->confidence_eos_eot_inf,
                "Commit the end of text and the end of turn last");
  verb.add_flag("--think", flags->think, "Ask for reasoning between <think> and </think> before the answer");
  if (picture) {
    verb.add_option("--grid", flags->grid, "Token grid of the picture, HxW [the square of num_vq_tokens]");
    verb.add_option("--fit", flags->fit, "How the picture is brought to size: clip, squash or pad [clip]");
  }
  add_sampling_flags(verb, &flags->sampling, "Argmax tokens: no noise on the choice");
}

TextOptions text_options(const TextFlags& flags) {
  TextOptions options;
  if (!flags.sampling.sampler.empty())
    options =
        text_options_from_json(load_sampler(flags.sampling.sampler), "sampler " + flags.sampling.sampler);
  override_with(flags.gen_length, &options.gen_length);
  override_with(flags.block_length, &options.block_length);
  override_with(flags.steps, &options.steps);
  override_with(flags.temperature, &options.temperature);
  override_with(flags.cfg_scale, &options.cfg_scale);
  override_with(flags.remasking, &options.remasking);
  override_with(flags.confidence, &options.confidence);
  override_with(flags.threshold, &options.threshold);
  override_with(flags.top_k, &options.top_k);
  override_with(flags.top_p, &options.top_p);
  override_with(flags.fit, &options.fit);
  if (flags.grid) std::tie(options.image_rows, options.image_columns) = parse_grid(*flags.grid);
  options.logits_eos_inf |= flags.logits_eos_inf;
  options.confidence_eos_eot_inf |= flags.confidence_eos_eot_inf;
  if (flags.no_early_stop) options.early_stop = false;
  options.think |= flags.think;
  options.greedy = flags.sampling.greedy;
  options.seed = seed_of(flags.sampling);
  options.compat = compat_of(flags.sampling);
  validate(options);
  return options;
}

void add_image_flags(CLI::App& verb, ImageFlags* flags) {
  verb.add_option("--steps", flags->steps, "Denoising steps [18]");
  verb.add_option("--guidance-scale", flags->guidance_scale, "Classifier-free guidance; 0: off [0]");
  verb.add_option("--temperature", flags->temperature, "Remask noise at the first step [1]");
  verb.add_option("--schedule", flags->schedule, "cosine, linear, sigmoid or pow<K> [cosine]");
  verb.add_option("--grid", flags->grid, "Token grid, HxW [the square of num_vq_tokens]");
  verb.add_option("--max-text-length", flags->max_text_length,
                  "Text budget M in tokens [max_text_length of config.json, else 512]");
  verb.add_option("--fit", flags->fit, "How a given picture is brought to size: clip, squash or pad [clip]");
  verb.add_option("--uncond-prefix-length", flags->uncond_prefix_length,
                  "Tokens that the unconditional row keeps for itself; 0: M + 1 (published callers: 513)")
      ->check(CLI::Range(0, 1 << 20));
  verb.add_option("--init-codes", flags->init_codes, "JSON list of codes, row by row, -1 = to be generated");
  verb.add_option("-o,--output", flags->output, "Picture to write: .png, .jpg or .webp");
  verb.add_option("--contact-sheet", flags->contact_sheet, "Picture of all denoising steps side by side");
  verb.add_option("--observe", flags->observe, "Folder for one picture per denoising step");
  add_sampling_flags(verb, &flags->sampling, "Argmax codes and no remask noise");
}

ImageOptions image_options(const ImageFlags& flags) {
  ImageOptions options;
  if (!flags.sampling.sampler.empty())
    options =
        image_options_from_json(load_sampler(flags.sampling.sampler), "sampler " + flags.sampling.sampler);
  override_with(flags.steps, &options.steps);
  override_with(flags.guidance_scale, &options.guidance_scale);
  override_with(flags.temperature, &options.temperature);
  override_with(flags.schedule, &options.schedule);
  override_with(flags.max_text_length, &options.max_text_length);
  override_with(flags.fit, &options.fit);
  if (flags.grid) std::tie(options.rows, options.columns) = parse_grid(*flags.grid);
  options.greedy = flags.sampling.greedy;
  options.stepwise = !flags.contact_sheet.empty() || !flags.observe.empty();
  options.seed = seed_of(flags.sampling);
  options.compat = compat_of(flags.sampling);
  options.compat.uncond_prefix_length = flags.uncond_prefix_length;
  validate(options);
  return options;
}

void add_reasoning_flags(CLI::App& verb, ReasoningFlags* flags) {
  auto* think = verb.add_flag("--think", flags->think,
                              "Reason about what to draw first, then draw it (needs r2i training)");
  const auto add = [&](const std::string& name, auto* value, const std::string& help) {
    verb.add_option(name, *value, help)->needs(think);
  };
  add("--think-tokens", &flags->tokens,
      "Tokens of reasoning, a multiple of its block length [what the prompt leaves of the text budget]");
  add("--think-block", &flags->block, "Its block length; blocks are filled in order [all of it]");
  add("--think-steps", &flags->steps, "Its denoising steps over all blocks [one a token]");
  add("--think-temperature", &flags->temperature, "Gumbel noise on its token choice; 0: argmax [0]");
  add("--think-cfg-scale", &flags->cfg_scale, "Its classifier-free guidance; 0: off [0]");
}

TextOptions reasoning_options(const ReasoningFlags& flags, TextOptions options) {
  override_with(flags.tokens, &options.gen_length);
  options.block_length = flags.block.value_or(options.gen_length);
  options.steps = flags.steps.value_or(options.gen_length);
  override_with(flags.temperature, &options.temperature);
  override_with(flags.cfg_scale, &options.cfg_scale);
  return options;
}

void require_picture_output(const ModelFlags& model, const ImageFlags& flags) {
  const bool draws = !flags.output.empty() || !flags.contact_sheet.empty() || !flags.observe.empty();
  if (!draws && !flags.sampling.json)
    throw UsageError("expected --output FILE for a picture, or --json for its codes");
  if (draws && model.image_tokenizer.empty())
    throw UsageError(
        "--output, --contact-sheet, --observe: found no --image-tokenizer, expected one to draw with");
  for (const std::string& path : {flags.output, flags.contact_sheet})
    if (!path.empty()) check_image_path(path);
}

void add_picture_flag(CLI::App& verb, std::string* picture) {
  verb.add_option("-i,--image", *picture, "The picture: PNG, JPEG or WebP");
}

TokenIds parse_ids(const std::string& text, const std::string& flag) {
  TokenIds ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int64_t id = 0;
    const auto [after, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || (after < end && *after != ',') || after + 1 == end)
      throw UsageError(cat(flag, ": found \"", text, "\", expected whole numbers such as 1,2,3"));
    ids.push_back(id);
    at = after + 1;
  }
  return ids;
}

std::pair<int64_t, int64_t> parse_grid(const std::string& text) {
  int64_t rows = 0, columns = 0;
  const char* const end = text.data() + text.size();
  const auto [x, row_error] = std::from_chars(text.data(), end, rows);
  const bool has_x = row_error == std::errc() && x < end && *x == 'x';
  const auto [after, column_error] = std::from_chars(has_x ? x + 1 : end, end, columns);
  if (!has_x || column_error != std::errc() || after != end || rows < 1 || columns < 1)
    throw UsageError(cat("--grid: found \"", text, "\", expected rows x columns such as 16x16"));
  return {rows, columns};
}

CodeGrid read_codes(const std::string& path, const Generator& generate, const ImageOptions& options) {
  CodeGrid grid = generate.blank_grid(options);
  const int64_t codes = generate.model().layout.codebook_size;
  const Json json = read_json_file(path);
  MMADA_CHECK(json.is_array(), path, ": found ", found_text(json), ", expected a list of codes");
  MMADA_CHECK(json.size() == grid.codes.size(), path, ": found ", json.size(), " codes, expected ", grid.rows,
              " x ", grid.columns, " = ", grid.codes.size(), " (see --grid)");
  for (size_t i = 0; i < json.size(); ++i) {
    const auto code = whole_number(json[i]);
    MMADA_CHECK(code && *code >= -1 && *code < codes, path, ": code ", i, ": found ", found_text(json[i]),
                ", expected a whole number from 0 to ", codes - 1, ", or -1: to be generated");
    grid.codes[i] = *code;
  }
  return grid;
}

void print_answer(const Generator& generate, const TextAnswer& answer, const SamplingFlags& flags,
                  uint64_t seed, const Work& work) {
  Json json = {{"ids", answer.ids},
               {"new_ids", answer.new_ids},
               {"text", answer.text},
               {"nfe", answer.nfe},
               {"seed", seed}};
  add_stats(flags, work, &json);
  if (flags.json) return print_json(json);
  if (generate.model().tokenizer) {
    std::printf("%s\n", answer.text.c_str());
    return;
  }
  // a checkpoint without a tokenizer answers in ids
  for (size_t i = 0; i < answer.new_ids.size(); ++i)
    std::printf("%s%lld", i ? "," : "", static_cast<long long>(answer.new_ids[i]));
  std::printf("\n");
}

void finish_picture(const Picture& picture, const ImageFlags& flags, const ImageOptions& options,
                    const std::string& prompt, const Work& work) {
  if (!flags.output.empty())
    write_image(flags.output, picture, {{"parameters", parameters_text(prompt, options, picture)}});
  Json json = {{"codes", picture.grid.codes},
               {"grid", {picture.grid.rows, picture.grid.columns}},
               {"ids", picture.ids},
               {"nfe", picture.nfe},
               {"seed", options.seed}};
  if (!picture.reasoning_ids.empty()) {
    json["reasoning"] = picture.reasoning;
    json["reasoning_ids"] = picture.reasoning_ids;
  }
  add_stats(flags.sampling, work, &json);
  if (flags.sampling.json) return print_json(json);
  if (!picture.reasoning.empty()) std::printf("%s\n", picture.reasoning.c_str());
  if (!flags.output.empty()) std::printf("%s\n", flags.output.c_str());
}

}  // namespace mmada::cli
