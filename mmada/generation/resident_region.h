// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, R slots of the region, N selected rows (B R, in streams).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "mmada/generation/canvas.h"
#include "mmada/generation/forward_model.h"
#include "mmada/model/work.h"
#include "mmada/ops/host_copy.h"
#include "mmada/ops/remask_op.h"
#include "mmada/ops/select_stream.h"

namespace mmada {

/// A row whose region is to be filled on the device.
struct ResidentRow {
  const Canvas* canvas = nullptr;
  const Region* region = nullptr;
  int64_t first_step = 0;        ///< of the row, when the region is opened: keys the noise
  int64_t unknown_at_start = 0;  ///< MASKs among the region's positions
};

/// The denoising of one region of some rows with everything that changes on the model's device: tokens,
/// schedule, step counters, flags. A step is ops on tensors that are already there, so that the host never
/// waits for the device and the step can be captured in a CUDA graph. What stops a row early is copied
/// asynchronously and seen one step late; by then the row is frozen, or what it wrote behind its end is
/// overwritten, so that tokens and step counts are those of the loop on the host.
///
/// Every step reads all slots of the region, committed ones too: the price of shapes that never change.
class ResidentRegion {
 public:
  /// Whether a row's region can be filled this way: its masks lie side by side, its commit rule has a
  /// schedule, and no published quirk asks for the host (Compat: whole-row fp64, the weights' dtype, earlier
  /// masks, stops that tie rows together).
  static bool takes(const ResidentRow& row, int64_t mask, c10::ScalarType weights);
  /// Whether two such rows can share steps: same settings, same number of slots.
  static bool together(const ResidentRow& a, const ResidentRow& b);

  ResidentRegion(ForwardModel model, int64_t mask, int64_t pad, const std::vector<ResidentRow>& rows);

  /// One step on the device, and nothing else.
  void enqueue();
  /// One step, and a look at the reports of the step before. Errors name the row's place in the region.
  void step();
  /// No row has anything left to do, as far as is known.
  bool finished() const;
  int64_t taken() const { return taken_; }  ///< steps
  /// Cost of one step.
  const Work& work() const { return work_; }

  struct Filled {
    TokenIds ids;
    int64_t steps = 0;  ///< that the row took part in
  };
  /// The rows as they were at first, to be filled again under another seed, in the tensors that are there: a
  /// CUDA graph of enqueue() stays good.
  void restart(uint64_t seed);
  /// The rows as they are once all steps have run: waits for the device.
  std::vector<Filled> collect();

 private:
  struct Stream {
    SelectStream select;
    int64_t first = 0, rows = 0;  ///< of the rows that are filled
  };
  /// What of a row is looked at later.
  struct RowEnd {
    StopRule stop;
    size_t length = 0;
    std::optional<int64_t> steps = {};  ///< that it took part in, once it is seen to have ended
  };
  using Rows = std::vector<ResidentRow>;
  void lay_tokens(const Rows& rows, int64_t pad);
  void lay_streams(const Rows& rows);
  void lay_batch(const Rows& rows, const std::vector<int64_t>& batch_rows, const std::vector<bool>& twins);
  void lay_rule(const Rows& rows);
  void look(HostCopy& report);
  HostCopy report() const;
  TokenIds ids_of_row(const at::Tensor& tokens_BT, size_t row) const;

  ForwardModel model_;
  int64_t mask_;
  Window window_;
  int64_t slots_ = 0;
  std::vector<RowEnd> ends_;
  std::vector<Stream> streams_;
  PassTables tables_;
  Work work_;
  at::Tensor source_;                            ///< canvas row of each batch row
  std::optional<at::Tensor> fixed_, fixed_ids_;  ///< [batch, T]: where a twin's tokens are its own
  at::Tensor slot_index_BR_;                     ///< into the flat tokens
  at::Tensor first_step_B_;                      ///< int32
  at::Tensor failed_B_;                          ///< bool: a candidate had no finite logit
  NoiseKeys keys_;
  at::Tensor first_tokens_BT_;  ///< the rows before the first step
  RemaskState state_;
  RemaskStep step_;
  int64_t taken_ = 0;
  std::optional<HostCopy> late_;
};

}  // namespace mmada
