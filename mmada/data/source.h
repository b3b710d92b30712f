// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"

namespace mmada {

/// A source of samples from its options: {"type": "shapes" | "jsonl" | "mixture", ...}; `source_name` names
/// it in errors.
std::unique_ptr<SampleSource> make_source(const Json& options, const std::string& source_name, uint64_t seed);

/// {"type": "mixture", "sources": [{"weight": 2, "source": {"type": ...}}, ...]}: the n-th sample comes from
/// a source drawn by weight, as a function of (seed, n) alone. The state is n and the states of all sources.
std::unique_ptr<SampleSource> make_mixture_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed);

}  // namespace mmada
