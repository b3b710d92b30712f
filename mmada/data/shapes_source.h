// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"
#include "mmada/data/shapes.h"

namespace mmada {

/// What a shapes source yields: a caption with its picture (t2i), a question with reasoning and answer about
/// a picture (mmu), an arithmetic problem (lm_chat), or a picture alone (training an image tokenizer).
enum class ShapesTask { kCaption, kQuestion, kArithmetic, kPicture };

/// `options` holds "task" (caption, question, arithmetic, picture), "split" (train, heldout; default train)
/// and any field of ShapesOptions; `source_name` names it in errors. The state is the index of the next
/// sample.
std::unique_ptr<SampleSource> make_shapes_source(const Json& options, const std::string& source_name,
                                                 uint64_t seed);

}  // namespace mmada
