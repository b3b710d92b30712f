// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "mmada/generation/canvas.h"
#include "mmada/generation/forward_model.h"
#include "mmada/generation/observer.h"
#include "mmada/generation/plan.h"
#include "mmada/generation/resident_region.h"
#include "mmada/ops/head_select.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// Where a region's steps happen.
enum class Residency {
  kAuto,    ///< on the model's device where that is a GPU and no observer wants tokens, else on the host
  kHost,    ///< tokens return to the host after every step
  kDevice,  ///< whatever can be filled there (ResidentRegion::takes), on CPUs too
};

/// The denoising loop, as a stepper: rows are added at any time, every step() takes each unfinished row one
/// step further, finished rows are taken out. Rows of different length, task and window run together; a row's
/// tokens depend on its canvas alone (own step counter, own random stream, padding hidden), never on its
/// neighbours, except where its stop rule ties it to its group.
class Denoiser {
 public:
  Denoiser(ForwardModel model, const TokenLayout& layout, std::vector<Observer*> observers = {},
           Residency residency = Residency::kAuto);

  /// Checks the canvas and returns the row's number, counted from 0.
  int64_t add(Canvas canvas);
  /// One step of every unfinished row; false when there was none.
  bool step();
  /// Rows that finished since the last call, in the order they finished.
  std::vector<FinishedRow> take_finished();
  int64_t unfinished() const { return static_cast<int64_t>(rows_.size()); }

 private:
  struct RowState {
    int64_t number = 0;
    Canvas canvas;
    size_t region = 0;
    int64_t region_step = 0;
    int64_t unknown_at_start = 0;  ///< MASKs in the region's positions when it was opened
    int64_t step = 0;
    int64_t steps = 0;
    int64_t nfe = 0;
    bool opened = false;
    bool block_ended = false;  ///< the last step completed a region
    bool done = false;
    bool resident = false;  ///< its region is being filled on the device

    const Region& open_region() const { return canvas.regions[region]; }
  };
  /// Rows whose regions are filled together, by number.
  struct ResidentGroup {
    std::vector<int64_t> rows;
    ResidentRegion region;
  };

  std::vector<int64_t> candidates(const RowState& row) const;
  void open_regions(RowState* row) const;
  ForwardRequest request(const RowState& row) const;
  void run(const ForwardPlan& plan, const std::vector<ForwardRequest>& requests,
           const std::vector<size_t>& rows);
  HeadRows head_rows(const RowState& row, const ForwardRequest& request) const;
  NoiseSource noise_of(const RowState& row) const;
  void advance(RowState* row, const std::vector<int64_t>& positions, const Selected& selected);
  void close_step(RowState* row) const;
  void stop_row_at_eos(RowState* row) const;
  void admit_residents();
  void step_residents();
  void land(ResidentGroup& group);
  RowState& row_numbered(int64_t number);
  void stop_groups();
  void collect_done();

  ForwardModel model_;
  int64_t mask_;
  int64_t pad_;
  std::vector<Observer*> observers_;
  bool device_steps_;
  std::vector<RowState> rows_;
  std::vector<ResidentGroup> residents_;
  std::vector<FinishedRow> finished_;
  int64_t added_ = 0;
};

}  // namespace mmada
