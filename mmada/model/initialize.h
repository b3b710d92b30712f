// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/model/transformer.h"

namespace mmada {

/// Draws one parameter of a network of these sizes as initialize() does.
void initialize(const NamedParameter& parameter, const TransformerConfig& config, const InitOptions& options);

}  // namespace mmada
