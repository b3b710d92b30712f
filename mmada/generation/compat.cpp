// SPDX-License-Identifier: MIT
#include "mmada/generation/compat.h"

#include "mmada/core/check.h"

namespace mmada {

Compat Compat::reference() {
  return {.attention = AttentionMode::kHard,
          .earlier_masks_compete = true,
          .ban_foreign_ids = false,
          .guided_text_sees_padding = true,
          .early_stop = EarlyStop::kAllRowsBlock,
          .compounding_temperature = true,
          .schedule_counts_all_slots = true,
          .single_precision_schedule = true,
          .sample_images_in_weight_dtype = true,
          .ties_survive_cut = true,
          .uncond_prefix_length = 0,
          .stepwise_mask_grows = true,
          .select_in_double = true,
          .turn_terminator = TurnTerminator::kLiteral};
}

Compat Compat::from_name(std::string_view name) {
  if (name == "fixed") return fixed();
  if (name == "reference") return reference();
  throw UsageError(cat("compat: found \"", name, "\", expected fixed or reference"));
}

std::string caption_prompt(const std::string& question, const Compat& compat) {
  return "<|start_header_id|>user<|end_header_id|>\n" + question +
         std::string(terminator_text(compat.turn_terminator)) +
         "<|start_header_id|>assistant<|end_header_id|>\n";
}

}  // namespace mmada
