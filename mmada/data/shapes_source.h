// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"
#include "mmada/data/shapes.h"

namespace mmada {

/// What a shapes source yields: a caption with its picture (t2i), a question with reasoning and answer about
/// a picture (mmu), an arithmetic problem (lm_chat), a picture alone (training an image tokenizer), a
/// question and its reasoning without the picture, or comparisons alone (both lm_chat, text to learn the
/// reasoning's steps from); or shapes to draw by their names alone, reasoning that lists each with size and
/// place, and the picture (r2i).
enum class ShapesTask { kCaption, kQuestion, kArithmetic, kPicture, kLookup, kMatches, kR2i };

/// `options` holds "task" (caption, question, arithmetic, picture, lookup, matches, r2i), "split" (train,
/// heldout; default train), "prompts" (false; caption, question and arithmetic only: the question without its
/// reply, with the answer, and with "kind" and "scene" as metadata; captions without pictures), and any field
/// of ShapesOptions; `source_name` names it in errors. The state is the
/// index of the next sample.
std::unique_ptr<SampleSource> make_shapes_source(const Json& options, const std::string& source_name,
                                                 uint64_t seed);

}  // namespace mmada
