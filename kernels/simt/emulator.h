// SPDX-License-Identifier: MIT
#pragma once

#include <vector_types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/simt/fiber.h"

/// Runs CUDA kernels on one CPU thread: every CUDA thread is a fiber that runs until it has to wait for
/// others (a barrier or a warp collective); the schedule decides who goes on. Blocks run one after another.
///
/// What it shows: wrong results and fragments, missing barriers and waits (by schedule, by late copies, by
/// ThreadSanitizer), reads of shared memory nobody wrote (NaN), overruns (AddressSanitizer), divergent
/// barriers, bank conflicts of ldmatrix. What it cannot show: anything about speed, the PTX wrappers of
/// device.cuh, the tensor cores' own rounding, spin-waits between blocks, weak memory ordering.
namespace mmada::simt {

/// Who runs next among those that can.
enum class Schedule {
  kFair,      ///< round robin over all threads
  kGreedy,    ///< the first warp runs as far as it can: exposes what fair turns hide
  kReverse,   ///< greedy from the last thread and the last block backwards
  kShuffled,  ///< warps, lanes and blocks in a random order, redrawn as they run
};

struct Options {
  Schedule schedule = Schedule::kFair;
  /// cp.async lands at the wait that guarantees it (the latest legal moment) instead of at its issue.
  bool late_copies = true;
  uint64_t seed = 1;  ///< of kShuffled
  /// Runs only so many blocks at the end of every grid; 0: all. For claims about the addresses of huge
  /// arrays.
  uint64_t last_blocks = 0;
};

/// What the kernels did since reset_statistics().
struct Statistics {
  uint64_t launches = 0, blocks = 0, barriers = 0, collectives = 0, mma = 0, ldmatrix = 0;
  uint64_t ldmatrix_conflicts =
      0;  ///< extra shared-memory cycles that rows of one 8x8 matrix cost each other
};

/// What a kernel did wrong: a deadlock, a collective the lanes disagree on, a misaligned access.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Options& options();
const Statistics& statistics();
void reset_statistics();

struct PendingCopy {
  void* to;
  const void* from;  ///< null: zeros
};

/// One CUDA thread.
struct Thread {
  Fiber fiber;
  uint3 index = {};
  int warp = 0, lane = 0;
  int line = 0;            ///< where it last waited
  const char* waits = "";  ///< for what
  bool done = false;
  std::vector<PendingCopy> copies;  ///< cp.async issued and not waited for
  std::vector<size_t> copy_groups;  ///< ends of the committed groups among them
};

/// What warp lanes bring to a collective.
using Payload = std::array<uint32_t, 12>;
enum class Operation { kSyncWarp, kShuffle, kVote, kMma, kLdmatrix, kLdmatrixTransposed };

/// Lanes of one warp that execute one collective together.
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  Operation operation = Operation::kSyncWarp;
  int line = 0;
  int left = 0;  ///< lanes that have not picked up their result
  std::array<Payload, 32> in = {};
  std::array<std::array<uint32_t, 4>, 32> out = {};
};

/// The block that runs.
struct Block {
  uint3 index = {};
  dim3 size, grid;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
};

extern Block block;
extern Thread* current;
extern Statistics counts;

/// Runs body() as every thread of every block. Throws Failure.
void run_grid(dim3 grid, dim3 threads, size_t shared_bytes, const std::function<void()>& body);

/// __syncthreads: all threads of the block that have not returned.
void barrier(int line);
/// Waits until all lanes of `mask` are here with the same operation; the last one calls complete. Every lane
/// then reads its result and calls leave().
Meeting& meet(uint32_t mask, Operation operation, const Payload& payload, int line,
              void (*complete)(Meeting&) = nullptr);
void leave(Meeting& meeting);
[[noreturn]] void fail(const std::string& what, int line);

/// The warp-wide semantics of PTX's mma.m16n8k16 (row, col) and ldmatrix, as completions of a meeting.
void mma_bf16(Meeting& meeting);
void mma_f16(Meeting& meeting);
void count_ldmatrix(Meeting& meeting);

/// cp.async's bookkeeping: a copy is queued, a wait returns how many of the oldest are due.
void queue_copy(PendingCopy copy, int line);
void commit_copies();
size_t due_copies(int groups_left);
void drop_copies(size_t count, int groups_left);

}  // namespace mmada::simt
