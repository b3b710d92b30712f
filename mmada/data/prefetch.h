// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include "mmada/data/sample.h"

namespace mmada {

/// The same samples in the same order, read and decoded ahead by `workers` threads (from 1), at most `ahead`
/// (from 1) samples that were not handed out yet. The order, and the state after every sample, are those of
/// `source` alone: read-ahead shows nowhere, so that a saved position fits with any number of workers or
/// none.
///
/// One thread at a time takes work from the source (SampleSource::defer), the work itself runs on all of
/// them. An error comes out where its sample would have, and again at every later call. Passing over samples
/// between draws costs no reading once it repeats: whoever draws one and skips seven, as a process among
/// eight does, is read ahead for in that rhythm; another rhythm begins anew.
std::unique_ptr<SampleSource> make_prefetch_source(std::unique_ptr<SampleSource> source, int64_t workers,
                                                   int64_t ahead);

}  // namespace mmada
