// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/data/sample.h"

namespace mmada {

/// A known number of records that can be read in any order: what most sources are made of.
class Records {
 public:
  virtual ~Records() = default;
  /// Sizes of the blocks that the records lie in. Records of a block are visited together, because reading
  /// across blocks is slow (row groups of Parquet); most have one block.
  virtual std::vector<int64_t> blocks() const = 0;
  /// The record as a sample; random choices depend on the seed and on n, the number of samples before it in
  /// the stream. May be called by several threads at a time.
  /// Nothing where the record turns out not to be wanted; only where leaves_out() says so.
  virtual std::optional<Sample> read(int64_t record, uint64_t n) const = 0;
  virtual bool leaves_out() const { return false; }
  /// What a saved position is only good for, as an object of whole numbers: {"lines": 5, "bytes": 100}.
  virtual Json extent() const = 0;
  /// What messages call the whole, mostly a path.
  virtual std::string name() const = 0;
  /// Records that were found incomplete and left out when they were opened (SampleSource::skipped).
  virtual Json skipped() const { return Json::object(); }
};

/// An endless source: every epoch visits each record once, blocks in an order that depends on (seed, epoch)
/// alone and so do the records of each; without `shuffle` in their own order. `stream` names the random
/// streams. Passing over samples reads nothing, unless records leave some out.
///
/// The state is {"epoch", "position"} and the extent; a changed extent is refused.
std::unique_ptr<SampleSource> make_records_source(std::unique_ptr<Records> records, bool shuffle,
                                                  const std::string& stream, uint64_t seed);

}  // namespace mmada
