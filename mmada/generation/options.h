// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "mmada/core/json.h"
#include "mmada/generation/compat.h"
#include "mmada/ops/select.h"

namespace mmada {

/// How text is generated (SPEC 5.1); the defaults are the published method's. Used for text, chat,
/// understanding and infilling.
struct TextOptions {
  int64_t gen_length = 128;    ///< tokens to generate; unused where holes are given
  int64_t block_length = 128;  ///< gen_length is a multiple of it
  int64_t steps = 128;         ///< over all blocks: a multiple of gen_length / block_length
  double temperature = 0.0;    ///< of the Gumbel noise on the token choice
  double cfg_scale = 0.0;      ///< classifier-free guidance: u + (cfg_scale + 1)(c - u); 0: off
  /// "low_confidence": the planned count per step, most confident first (alias low_confidence_static);
  /// "random": the planned count anywhere; "low_confidence_dynamic": everything of confidence >= threshold,
  /// at least one per step.
  std::string remasking = "low_confidence";
  std::string confidence = "confidence";  ///< confidence | margin_confidence | neg_entropy | random
  double threshold = 0.95;                ///< of low_confidence_dynamic
  int64_t top_k = 0;                      ///< > 0: choose among the k best tokens
  double top_p = 1.0;                     ///< < 1: choose in the nucleus of this probability
  bool logits_eos_inf = false;            ///< eos is never chosen
  bool confidence_eos_eot_inf = false;    ///< eos and end-of-turn are committed last
  bool early_stop = true;                 ///< as Compat::early_stop says
  bool think = false;                     ///< puts the chain-of-thought instruction before the question
  int64_t image_rows =
      0;  ///< token grid of a picture in question; 0: the square of config.json's num_vq_tokens
  int64_t image_columns = 0;
  std::string fit = "clip";  ///< how the picture is brought to that size: clip | squash | pad (SPEC 2)
  bool greedy = false;       ///< argmax tokens whatever the temperature
  uint64_t seed = 0;
  uint32_t stream = 0;  ///< tells rows of one seed apart, for several samples of one prompt
  Compat compat = {};
};

/// How an image is generated (SPEC 5.2); the defaults are the published method's.
struct ImageOptions {
  int64_t steps = 18;
  double guidance_scale = 0.0;      ///< (1 + g) c - g u; 0: off
  double temperature = 1.0;         ///< T0 of the remask noise
  std::string schedule = "cosine";  ///< cosine | linear | sigmoid | pow<K>
  int64_t rows = 0;  ///< of the token grid; 0 with columns 0: the square of config.json's num_vq_tokens
  int64_t columns = 0;
  int64_t max_text_length = 0;  ///< M, the caption's budget; 0: config.json's max_text_length, else 512
  std::string fit =
      "clip";  ///< how a given picture is brought to the grid's size: clip | squash | pad (SPEC 2)
  double token_temperature = 1.0;  ///< of the draw from the code distribution; 0: argmax
  bool greedy = false;             ///< argmax codes and no remask noise
  bool stepwise = false;  ///< a picture is decoded at every step (matters to Compat::stepwise_mask_grows)
  uint64_t seed = 0;
  uint32_t stream = 0;
  Compat compat = {};
};

/// Throws UsageError naming the option and the numbers when options contradict themselves.
void validate(const TextOptions& options);
void validate(const ImageOptions& options);

/// Sampler files (configs/sampler/*.json, // comments allowed): {"task": "text" | "image", fields above by
/// name}. Absent keys keep the value in `base`; unknown keys are errors. Seeds, streams and compat are not
/// part of a file.
TextOptions text_options_from_json(const Json& json, const std::string& source, TextOptions base = {});
ImageOptions image_options_from_json(const Json& json, const std::string& source, ImageOptions base = {});

/// The sampler file at a path, or one of those the library was built with, by name (such as "app_text").
Json load_sampler(const std::string& file_or_name);
std::vector<std::string> sampler_names();

}  // namespace mmada
