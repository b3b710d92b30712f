// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <future>
#include <optional>
#include <string>

#include "mmada/distributed/group.h"
#include "mmada/trainer/checkpoint.h"
#include "mmada/trainer/checkpoint_stages.h"

namespace mmada {

/// Saves the checkpoints of a run, at once or in the background.
///
/// In the background a save is a snapshot: save() copies what is saved into host memory and returns, a thread
/// writes the copies while training goes on. The checkpoint appears once every process has written its part,
/// which they tell each other by a number in what they exchange at each step anyway; that thread talks to no
/// other process. One save is under way at a time.
class CheckpointSaver {
 public:
  struct Options {
    std::string run_directory;
    int64_t total_limit = 0;  ///< checkpoints that are kept; 0: all
    bool in_background = false;
  };
  /// What a process has to tell of its save; the largest of all counts.
  enum Progress : int64_t { kReady = 0, kBusy = 1, kFailed = 2 };

  CheckpointSaver(Options options, Group group);
  /// Waits for the thread; what it wrote without finish() does not appear.
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  /// Every process calls it. Waits for the save before; then saves, or takes the snapshot. Throws SaveError.
  void save(const CheckpointContents& contents);
  /// How this process's part of the save goes; does not wait.
  Progress progress();
  /// Goes on with the save after the largest progress() of all processes: in each of them, with the same
  /// number. Throws SaveError in all where the save failed in one; the next save is another try.
  void advance(int64_t largest);
  /// Every process calls it: waits until the save is there. Throws as advance() does.
  void finish();
  /// The newest checkpoint that is there, of those saved here; empty before the first.
  const std::string& latest() const { return latest_; }

 private:
  void start(const CheckpointContents& contents);
  void commit();

  Options options_;
  Group group_;
  std::optional<SavePlace> place_;  ///< of the save under way
  Json state_;
  bool committing_ = false;  ///< all parts are written
  std::future<void> task_;
  std::string failure_, latest_;
};

}  // namespace mmada
