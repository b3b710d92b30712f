// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "mmada/generation/canvas.h"
#include "mmada/generation/options.h"
#include "mmada/model/transformer.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// A canvas of image slots after a caption, and where the slots stand.
struct ImageCanvas {
  Canvas canvas;
  Span slots;
};

/// Text-to-image, inpainting and one move of extrapolation (SPEC 5.2, 5.3): the t2i row of the caption (ids
/// without bos and eos) over `codes`, row-major codes 0..codebook_size-1 with -1 where they are to be
/// generated.
///
/// budget is M. A caption that does not fit it is an error, never cut.
ImageCanvas image_canvas(const TokenLayout& layout, const TokenIds& caption,
                         const std::vector<int64_t>& codes, int64_t budget, const ImageOptions& options,
                         c10::ScalarType weight_dtype);

/// The parts of it that every row with a picture shares: vocabulary ids of codes (MASK for -1), the region of
/// all slots at options' settings, and the guidance by the t2i row of an empty caption, null where it is off.
TokenIds image_ids_of(const TokenLayout& layout, const std::vector<int64_t>& codes);
Region image_region(const TokenLayout& layout, Span slots, const ImageOptions& options,
                    c10::ScalarType weight_dtype);
std::shared_ptr<const GuidancePolicy> image_guidance(const TokenLayout& layout, const TokenIds& image_ids,
                                                     int64_t budget, const ImageOptions& options);

/// The codes of the slots of a row; -1 where a slot is still MASK.
std::vector<int64_t> codes_of_row(const TokenLayout& layout, const TokenIds& ids, Span slots);

}  // namespace mmada
