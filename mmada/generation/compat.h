// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mmada/model/transformer.h"
#include "mmada/text/chat.h"

namespace mmada {

/// When a text row may end before its last step.
enum class EarlyStop {
  kNever,
  kRowEos,  ///< a row ends at its first eos with everything before it decided; the rest is filled with eos
  kAllRowsBlock,  ///< after a block, when the block's last token is eos in every row of the call; the rest
                  ///< stays MASK
};

/// Where the published sampler does something odd (SPEC 10, 5.1, 5.2), each oddity is one field here; the
/// code that reads it is the same for both presets.
struct Compat {
  AttentionMode attention = AttentionMode::kHard;
  /// Text: every MASK before the block's end competes for the block's budget, MASKs of the prompt included.
  bool earlier_masks_compete = false;
  /// Text: MASK and image codes cannot be chosen; the softmax runs over the text window without MASK.
  bool ban_foreign_ids = true;
  /// Text: under guidance the forward sees padding (the published path passes no bias).
  bool guided_text_sees_padding = false;
  EarlyStop early_stop = EarlyStop::kRowEos;
  /// Images: T <- T (1 - r) at every step, instead of T0 (1 - r).
  bool compounding_temperature = false;
  /// Images: the schedule counts from all N slots, instead of those unknown at the start.
  bool schedule_counts_all_slots = false;
  /// Images: the schedule is evaluated in fp32 (floor(N cos(pi/3)) is then N/2 - 1), instead of fp64.
  bool single_precision_schedule = false;
  /// Images: softmax, noise and confidence in the weights' dtype (bf16 for the published weights), instead of
  /// fp32.
  bool sample_images_in_weight_dtype = false;
  /// Images: scores equal to the cut all survive, so that fewer than k slots are remasked.
  bool ties_survive_cut = false;
  /// Images: how much of the unconditional row is its own prefix; 0: M + 1. The published callers' literal is
  /// kPublishedUncondPrefix, off in both presets.
  int64_t uncond_prefix_length = 0;
  /// Images: stepwise decoding appends to its attention mask at every step, so that guided decoding fails at
  /// step 2.
  bool stepwise_mask_grows = false;
  /// Softmax, confidence and token noise over whole rows in fp64, instead of fp32 in one pass: another choice
  /// only where two candidates are closer than fp32 tells apart.
  bool select_in_double = false;
  /// Ends a turn in caption, CoT and in-training validation strings (plain text in the published data).
  TurnTerminator turn_terminator = TurnTerminator::kToken;

  static Compat fixed() { return {}; }
  static Compat reference();
  /// "fixed" or "reference".
  static Compat from_name(std::string_view name);
  bool operator==(const Compat&) const = default;
};

/// The default `resolution` of the published sampler plus one, which its callers never override (SPEC 5.2,
/// quirk 2).
constexpr int64_t kPublishedUncondPrefix = 513;

/// The prompt of in-training chat validation and of caption data: one user turn ended by
/// compat.turn_terminator, then an open assistant header (SPEC 3.3).
std::string caption_prompt(const std::string& question, const Compat& compat = {});

}  // namespace mmada
