// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/data/sample.h"

namespace mmada {

/// Pictures with texts from WebDataset shards: {"type": "webdataset", "path": "data/{000..012}.tar", ...}.
/// How members become samples: ShardReader.
///
///  - "path": a shard (.tar, .tgz, .tar.gz), a pattern with braces (expand_braces), or a list of either
///  - "text_key" (default "prompt"): the string of a sample's JSON that is its text
///  - "captions": texts kept apart from the shards, taken instead of theirs: a folder, a JSON file or a table
///    of reasoning (.csv), asked for the sample's key and the shard's name (CaptionMap)
///  - "use", "questions", "terminator": CaptionRules
///  - "replace_person_tokens" (default true): replace_person_tokens
///  - "tokenizer", "max_tokens": TokenLimit, on the text before the rules
///  - "shuffle" (default true): shards in an order that depends on (seed, epoch) alone, and samples drawn
///    from a buffer; false: the order of the files
///  - "buffer" (default 1000): samples to draw from. They are held encoded: some 100 MB for pictures of
///    100 KB
///  - "on_error": "stop" (default) or "skip": whether a damaged sample or shard is an error that names shard
///    and member, or left out and counted; a damaged shard ends where the damage begins
///
/// An epoch yields every sample once; its end empties the buffer. Samples without picture or text are left
/// out and counted.
///
/// The state is epoch, shard, sample within it, number of samples drawn, and of the buffer shard and sample
/// number of each entry: about 10 bytes each. To restore it, the shards that the buffer's entries come from
/// are read again from their beginnings; with b entries and s samples a shard these are about b / s + 1
/// shards, often one or two, more where single entries stayed for long. Shards whose number or total size
/// changed are refused.
std::unique_ptr<SampleSource> make_webdataset_source(const Json& options, const std::string& source_name,
                                                     uint64_t seed);

}  // namespace mmada
