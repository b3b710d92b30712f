// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"

namespace mmada {

// Pictures of a folder with questions and answers in one file (SPEC 6.6). Every source has "path", the file,
// "images", the folder of the pictures (default: the file's own), and "shuffle" (default true):
// make_records_source. Names that lead out of the folder are refused.

/// {"type": "vqa_json"}: a list of {"image", "conversations": [{"from": "human" | "gpt", "value"}]}, turns in
/// pairs. "<image>" marks are taken out; the text is the chat template's (conversation_text).
///  - "turns": "random" (default), the first k pairs with k from 1 to all of them as a function of (seed, n),
///    or "all"
/// Other fields of an item are left to the user. The whole file is held in memory; at most 1 GiB of text.
std::unique_ptr<SampleSource> make_vqa_json_source(const Json& options, const std::string& source_name,
                                                   uint64_t seed);

/// {"type": "cot_csv"}: read_reasoning_table. A sample is a picture with one of its rows, drawn by (seed, n).
/// Where the pictures are in shards: make_webdataset_source with the table as "captions".
///  - "extension" (default ""): added to the column image to make the file's name, such as ".png"
///  - "terminator": "token" (default) or "literal"
std::unique_ptr<SampleSource> make_cot_csv_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed);

}  // namespace mmada
