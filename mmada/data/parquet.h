// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mmada/core/rng.h"
#include "mmada/data/sample.h"

namespace mmada {

/// A document as text (SPEC 6.6): without newlines; a longer one is cut to `characters` Unicode characters
/// from a place drawn from `rng`.
std::string document_text(const std::string& document, int64_t characters, Rng& rng);

/// Texts from Parquet files: {"type": "parquet", "path": "data/{000..012}.parquet", ...}.
///
///  - "path": a file, a pattern with braces (expand_braces), or a list of either
///  - "content" (default "content"): the column, strings
///  - "format": "document" (document_text) or "chat", a formatted conversation as it stands; default document
///  - "max_characters" (default 8000): of a document
///  - "tokenizer", "max_tokens": TokenLimit; longer rows are left out and counted. Passing over samples then
///    has to read them.
///  - "shuffle" (default true): row groups in an order of (seed, epoch), the rows of each likewise
///
/// Two row groups of the column are held in memory. The state is that of make_records_source. Needs a library
/// built with MMADA_WITH_PARQUET.
std::unique_ptr<SampleSource> make_parquet_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed);

}  // namespace mmada
