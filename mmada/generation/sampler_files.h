// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string_view>

namespace mmada {

/// The files of configs/sampler, built into the library so that their names work wherever it is installed.
struct SamplerFile {
  std::string_view name;
  std::string_view text;
};
extern const std::span<const SamplerFile> kSamplerFiles;

}  // namespace mmada
