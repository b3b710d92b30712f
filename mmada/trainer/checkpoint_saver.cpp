// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint_saver.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <utility>

#include "mmada/trainer/checkpoint_shards.h"

namespace mmada {
namespace {

std::vector<CheckpointTensor> copies(const std::vector<CheckpointTensor>& tensors) {
  const at::NoGradGuard no_grad;
  std::vector<CheckpointTensor> result = tensors;
  for (CheckpointTensor& tensor : result)
    tensor.tensor = tensor.tensor.to(tensor.tensor.options().device(at::kCPU), false, /*copy=*/true);
  return result;
}

}  // namespace

CheckpointSaver::CheckpointSaver(Options options, Group group)
    : options_(std::move(options)), group_(std::move(group)) {}

CheckpointSaver::~CheckpointSaver() {
  if (task_.valid()) task_.wait();
}

void CheckpointSaver::save(const CheckpointContents& contents) {
  finish();
  if (options_.in_background) return start(contents);
  latest_ = save_checkpoint(options_.run_directory, contents, options_.total_limit, group_);
}

void CheckpointSaver::start(const CheckpointContents& contents) {
  const SavePlace place = save_place(options_.run_directory, contents, group_);
  std::vector<CheckpointTensor> tensors;
  std::function<void()> write_model = [] {};
  try {
    group_.agree("saving a checkpoint", [&] { prepare_save(place, contents.tensors, group_.rank()); });
    if (contents.stage_model)
      write_model = contents.stage_model(place.temporary);
    else
      contents.save_model(place.temporary);
    group_.agree("saving a checkpoint", [&] { tensors = copies(contents.tensors); });
  } catch (const std::exception& error) {
    if (group_.rank() == 0) abandon_save(place);
    throw save_error(place, error.what());
  }
  place_ = place;
  state_ = contents.state;
  committing_ = false;
  failure_.clear();
  task_ = std::async(std::launch::async, [place, group = group_, tensors = std::move(tensors),
                                          write_model = std::move(write_model)] {
    const at::NoGradGuard no_grad;
    write_model();
    write_shard(place.temporary, tensors, group);
  });
}

void CheckpointSaver::commit() {
  committing_ = true;
  if (group_.rank() != 0) return;
  task_ = std::async(std::launch::async, [place = *place_, state = std::move(state_), group = group_,
                                          limit = options_.total_limit] {
    commit_save(place, state, group);
    rotate(place, limit);
  });
}

CheckpointSaver::Progress CheckpointSaver::progress() {
  if (task_.valid() && task_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    try {
      task_.get();
    } catch (const std::exception& error) {
      failure_ = error.what();
    }
  }
  if (task_.valid()) return kBusy;
  return failure_.empty() ? kReady : kFailed;
}

void CheckpointSaver::advance(int64_t largest) {
  if (!place_ || largest == kBusy) return;
  if (largest == kReady && !committing_) return commit();
  const SavePlace place = *std::exchange(place_, std::nullopt);
  if (largest == kReady) {
    latest_ = place.path;
    return;
  }
  if (task_.valid()) task_.wait();
  task_ = {};
  if (group_.rank() == 0) abandon_save(place);
  const std::string own = std::exchange(failure_, "");
  throw save_error(place, own.empty() ? "another process's part of it failed, as its own message says" : own);
}

void CheckpointSaver::finish() {
  while (place_) {
    if (task_.valid()) task_.wait();
    advance(group_.largest({progress()}).front());
  }
}

}  // namespace mmada
