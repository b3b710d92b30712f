// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"

namespace mmada {

/// A source of samples from its options, {"type": ..., ...}; `source_name` names it in errors. The options of
/// each type stand with its make function:
///
///  - "shapes" (shapes_source.h): procedural pictures, questions and sums
///  - "jsonl" (jsonl.h): one JSON object a line
///  - "webdataset" (webdataset.h): tar shards of pictures with texts
///  - "vqa_json", "cot_csv" (tables.h): pictures with questions and answers in one file
///  - "image_folder", "caption_folder", "r2i_folder" (folders.h): pictures in folders
///  - "parquet" (parquet.h): documents and conversations
///  - "mixture" (below): several of them by weight
///
/// Every type also takes
///  - "workers" (default 0): threads that read and decode ahead (make_prefetch_source)
///  - "prefetch" (default four for each worker): how many samples may be ready or on their way
/// and every type with pictures
///  - "fit": "clip", "squash" or "pad" (Fit), how its pictures are brought to size (SPEC 6.6: Geo170K's are
///    padded); default: as the data set says. A mixture's holds for those of its sources that have none.
std::unique_ptr<SampleSource> make_source(const Json& options, const std::string& source_name, uint64_t seed);

/// The next samples, so many.
std::vector<Sample> next_samples(SampleSource& source, int64_t count);

/// {"type": "mixture", "sources": [{"weight": 2, "source": {"type": ...}}, ...]}: the n-th sample comes from
/// a source drawn by weight, as a function of (seed, n) alone. The state is n and the states of all sources.
std::unique_ptr<SampleSource> make_mixture_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed);

}  // namespace mmada
