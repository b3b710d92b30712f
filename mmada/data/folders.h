// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"

namespace mmada {

// Pictures in folders, with texts beside or apart from them (SPEC 6.6). Every source has "path", the folder,
// and "shuffle" (default true): make_records_source. Pictures without a text are left out and counted.

/// {"type": "image_folder"}: a folder for each class, as ImageNet is kept; the text is the class's name.
///  - "classes": a file of lines "INDEX: NAME", the index being the folder's place among the sorted folders;
///    without it the folder's own name is the class's
std::unique_ptr<SampleSource> make_image_folder_source(const Json& options, const std::string& source_name,
                                                       uint64_t seed);

/// {"type": "caption_folder"}: NAME.jpg (jpeg, png, webp) with NAME.txt (its first line) or NAME.caption.
///  - "captions": where the captions are instead, a folder, a JSON file or a table (.csv), asked for
///    NAME (CaptionMap)
///  - "use", "questions", "terminator": CaptionRules
std::unique_ptr<SampleSource> make_caption_folder_source(const Json& options, const std::string& source_name,
                                                         uint64_t seed);

/// {"type": "r2i_folder"}: NAME.jpg (jpeg, png, webp) with NAME.caption and NAME.shortcaption, as r2i_text.
///  - "terminator": "token" (default) or "literal"
std::unique_ptr<SampleSource> make_r2i_folder_source(const Json& options, const std::string& source_name,
                                                     uint64_t seed);

}  // namespace mmada
