// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/json.h"

namespace mmada::published {

/// The training scripts of the published system, which decide what a settings file does not say: what text
/// and pictures are learned from (SPEC 6.2).
enum class Stage { k1, k2, k3, kCot, k4 };
/// "1", "2", "3", "cot", "4".
Stage stage_from_name(const std::string& name);
std::string stage_name(Stage stage);

struct ConversionOptions {
  std::optional<Stage> stage;  ///< none: deduced from the keys that only one script reads
  int64_t gpus = 8;            ///< the published rows are those of one; ours are those of all
};

/// A training configuration of ours (Trainer), and what became of the file's other keys.
struct ConvertedSettings {
  Json config;
  Stage stage = Stage::k1;
  std::vector<std::string> notes;     ///< whole sentences: what was decided, what is to be brought
  std::vector<std::string> left_out;  ///< keys with a meaning there that have no counterpart here
  std::vector<std::string> unread;    ///< keys that the published scripts read nowhere
};

/// Converts one published settings file (keys of SPEC 6.3), already parsed, references unresolved. `source`
/// names it in errors: unknown keys (with the nearest known one), values that cannot be meant here, data
/// whose kind cannot be told by its name.
ConvertedSettings convert_training_settings(const Json& settings, const std::string& source,
                                            const ConversionOptions& options);

/// The configuration as JSONC: what was decided stands in comments before it.
std::string jsonc_text(const ConvertedSettings& converted, const std::string& source);

}  // namespace mmada::published
