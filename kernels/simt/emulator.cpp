// SPDX-License-Identifier: MIT
// Compiled without sanitizers, as fiber.cpp.
#include "kernels/simt/emulator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <numeric>

namespace mmada::simt {

Block block;
Thread* current = nullptr;
Statistics counts;

namespace {

constexpr int kWarp = 32;
constexpr int kMeetings = 8;          // concurrent collectives of one warp
constexpr size_t kMaxThreads = 1024;  // per block
constexpr size_t kMaxCopies = 4096;   // pending per thread
constexpr size_t kAlignment = 1024;   // of dynamic shared memory
constexpr size_t kTagBytes = 8;       // between two of ThreadSanitizer's synchronisation objects
constexpr unsigned kMaxGridYZ = 65535;
constexpr size_t kMaxShared = 227 << 10;

Options chosen;

struct Warp {
  uint32_t ready = 0;
  std::array<Meeting, kMeetings> meetings;
};

struct Scheduler {
  Stacks stacks;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  int count = 0, warp_count = 0;
  int alive = 0, at_barrier = 0, barrier_line = 0;
  Fiber caller;
  const std::function<void()>* body = nullptr;
  std::string failure;
  uint64_t random = 1;
  char launch_tag = 0;
  char* tags = nullptr;  // of the block's barrier and warps
};
Scheduler scheduler;

uint64_t next_random() {  // xorshift64
  uint64_t& x = scheduler.random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

// ---- choosing who runs
// ----------------------------------------------------------------------------------------------

Thread* thread_of(int warp, int lane) { return scheduler.threads[warp * kWarp + lane].get(); }

Thread* next_fair() {
  const int warps = scheduler.warp_count;
  int warp = current != nullptr ? current->warp : 0;
  const int lane = current != nullptr ? current->lane + 1 : 0;
  const uint32_t later = lane < kWarp ? scheduler.warps[warp].ready >> lane << lane : 0;
  if (later != 0) return thread_of(warp, std::countr_zero(later));
  for (int k = 0; k < warps; ++k) {
    if (++warp >= warps) warp = 0;
    if (scheduler.warps[warp].ready != 0)
      return thread_of(warp, std::countr_zero(scheduler.warps[warp].ready));
  }
  return nullptr;
}

Thread* next_greedy() {
  for (int warp = 0; warp < scheduler.warp_count; ++warp)
    if (scheduler.warps[warp].ready != 0)
      return thread_of(warp, std::countr_zero(scheduler.warps[warp].ready));
  return nullptr;
}

Thread* next_reverse() {
  for (int warp = scheduler.warp_count; warp-- > 0;)
    if (scheduler.warps[warp].ready != 0)
      return thread_of(warp, kWarp - 1 - std::countl_zero(scheduler.warps[warp].ready));
  return nullptr;
}

/// Mostly stays in the warp, so that warps drift apart; jumps to any other now and then.
Thread* next_shuffled() {
  const auto random = static_cast<uint32_t>(next_random() >> 20);
  const int warps = scheduler.warp_count, rotation = static_cast<int>(random >> 20 & 31);
  const bool stay = current != nullptr && (random & 15) != 0;
  int warp = stay ? current->warp : static_cast<int>((random >> 4 & 0xFFFF) % static_cast<uint32_t>(warps));
  for (int k = 0; k < warps; ++k, warp = warp + 1 < warps ? warp + 1 : 0) {
    const uint32_t ready = scheduler.warps[warp].ready;
    if (ready != 0) return thread_of(warp, (std::countr_zero(std::rotr(ready, rotation)) + rotation) % kWarp);
  }
  return nullptr;
}

Thread* next_thread() {
  switch (chosen.schedule) {
    case Schedule::kFair:
      return next_fair();
    case Schedule::kGreedy:
      return next_greedy();
    case Schedule::kReverse:
      return next_reverse();
    case Schedule::kShuffled:
      return next_shuffled();
  }
  return nullptr;
}

/// Gives the CPU to the next thread that can run, or back to run_block when there is none.
void yield() {
  Thread* me = current;
  Thread* next = next_thread();
  Fiber& from = me != nullptr ? me->fiber : scheduler.caller;
  current = next;
  (next != nullptr ? next->fiber : scheduler.caller).resume(from);
}

void set_waiting(const char* what, int line) {
  current->waits = what;
  current->line = line;
  scheduler.warps[current->warp].ready &= ~(1u << current->lane);
}

// ---- one block
// ------------------------------------------------------------------------------------------------------

void release_barrier_if_full() {
  if (scheduler.at_barrier == 0 || scheduler.at_barrier != scheduler.alive) return;
  scheduler.at_barrier = 0;
  counts.barriers += 1;
  for (int i = 0; i < scheduler.count; ++i)
    if (!scheduler.threads[i]->done) scheduler.warps[i / kWarp].ready |= 1u << i % kWarp;
}

void run_thread() {
  Fiber::entered();
  (*scheduler.body)();
  if (!current->copies.empty() || !current->copy_groups.empty())
    fail("a thread returned with cp.async copies that it never waited for", current->line);
  tsan_release(&scheduler.launch_tag);
  current->done = true;
  scheduler.alive -= 1;
  set_waiting("nothing: it returned", 0);
  release_barrier_if_full();
  yield();
  std::abort();  // nobody resumes a thread that returned
}

void prepare_threads() {
  const dim3 size = block.size;
  scheduler.count = scheduler.alive = static_cast<int>(size.x * size.y * size.z);
  scheduler.warp_count = (scheduler.count + kWarp - 1) / kWarp;
  scheduler.at_barrier = 0;
  scheduler.stacks.renew(static_cast<size_t>(scheduler.count));
  while (scheduler.threads.size() < static_cast<size_t>(scheduler.count))
    scheduler.threads.push_back(std::make_unique<Thread>());
  if (scheduler.warps.size() < static_cast<size_t>(scheduler.warp_count))
    scheduler.warps.resize(scheduler.warp_count);
  for (Warp& warp : scheduler.warps) {
    warp.ready = 0;
    for (Meeting& meeting : warp.meetings) meeting.left = 0;
  }
  for (int i = 0; i < scheduler.count; ++i) {
    Thread& thread = *scheduler.threads[i];
    const auto n = static_cast<unsigned>(i);
    thread.index = {n % size.x, n / size.x % size.y, n / (size.x * size.y)};
    thread.warp = i / kWarp;
    thread.lane = i % kWarp;
    thread.done = false;
    thread.line = 0;
    thread.waits = "its first turn";
    thread.copies.clear();
    thread.copies.reserve(kMaxCopies);  // the queues never allocate while a thread runs
    thread.copy_groups.clear();
    thread.copy_groups.reserve(kMaxCopies);
    thread.fiber.prepare(scheduler.stacks[n], run_thread);
    scheduler.warps[i / kWarp].ready |= 1u << i % kWarp;
  }
}

std::string stuck_threads() {
  std::string list;
  int shown = 0;
  for (int i = 0; i < scheduler.count && shown < 6; ++i) {
    const Thread& thread = *scheduler.threads[i];
    if (thread.done) continue;
    list.append("\n  thread ").append(std::to_string(i)).append(" waits for ").append(thread.waits);
    list.append(" at line ").append(std::to_string(thread.line));
    ++shown;
  }
  return list;
}

/// Fresh memory for every block: without history in ThreadSanitizer's eyes, of exact size in
/// AddressSanitizer's.
class Memory {
 public:
  explicit Memory(size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kAlignment, std::max(bytes, kTagBytes)) != 0) throw std::bad_alloc();
    data_ = static_cast<unsigned char*>(memory);
  }
  ~Memory() {
    tsan_ignore_begin();
    std::free(data_);
    tsan_ignore_end();
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  unsigned char* data() const { return data_; }

 private:
  unsigned char* data_;
};

void run_block() {
  const Memory shared(block.shared_bytes), tags(kTagBytes * (1 + kMaxThreads / kWarp));
  block.shared = shared.data();
  scheduler.tags = reinterpret_cast<char*>(tags.data());
  // NaN in every float type. volatile: a call to memset would be an access in ThreadSanitizer's eyes
  for (size_t i = 0; i < block.shared_bytes; ++i)
    static_cast<volatile unsigned char*>(block.shared)[i] = 0xFF;
  prepare_threads();
  counts.blocks += 1;
  scheduler.failure.clear();
  current = nullptr;
  yield();
  current = nullptr;
  if (!scheduler.failure.empty()) throw Failure(scheduler.failure);
  if (scheduler.alive > 0)
    throw Failure("deadlock: a barrier or collective that not all threads reach" + stuck_threads());
}

std::vector<uint64_t> block_order(uint64_t blocks) {
  const uint64_t first =
      chosen.last_blocks == 0 || chosen.last_blocks > blocks ? 0 : blocks - chosen.last_blocks;
  std::vector<uint64_t> order(blocks - first);
  std::iota(order.begin(), order.end(), first);
  if (chosen.schedule == Schedule::kReverse) std::reverse(order.begin(), order.end());
  if (chosen.schedule == Schedule::kShuffled)
    for (uint64_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next_random() % i]);
  return order;
}

}  // namespace

Options& options() { return chosen; }
const Statistics& statistics() { return counts; }
void reset_statistics() { counts = {}; }

void run_grid(dim3 grid, dim3 threads, size_t shared_bytes, const std::function<void()>& body) {
  const size_t per_block = static_cast<size_t>(threads.x) * threads.y * threads.z;
  if (per_block == 0 || per_block > kMaxThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.y > kMaxGridYZ || grid.z > kMaxGridYZ || shared_bytes > kMaxShared)
    throw Failure("a launch that no GPU takes: empty or oversized grid, block or shared memory");
  block.grid = grid;
  block.size = threads;
  scheduler.body = &body;
  scheduler.random = chosen.seed * 0x9E3779B97F4A7C15ull | 1;
  scheduler.caller.adopt();
  counts.launches += 1;
  for (const uint64_t i : block_order(static_cast<uint64_t>(grid.x) * grid.y * grid.z)) {
    block.index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y)};
    block.shared_bytes = shared_bytes;
    run_block();
  }
  // only here: blocks of one launch are not ordered among each other
  tsan_acquire(&scheduler.launch_tag);
  Fiber::destroy_retired();
}

void fail(const std::string& what, int line) {
  scheduler.failure = "block (" + std::to_string(block.index.x) + ", " + std::to_string(block.index.y) +
                      ", " + std::to_string(block.index.z) + ") thread " +
                      std::to_string(current->warp * kWarp + current->lane) + " line " +
                      std::to_string(line) + ": " + what;
  Thread* me = current;
  current = nullptr;
  scheduler.caller.resume(me->fiber);
  std::abort();  // nobody resumes a thread that failed
}

void barrier(int line) {
  if (scheduler.at_barrier == 0) scheduler.barrier_line = line;
  if (scheduler.barrier_line != line)
    fail("this __syncthreads meets the one of line " + std::to_string(scheduler.barrier_line), line);
  tsan_release(scheduler.tags);
  scheduler.at_barrier += 1;
  set_waiting("__syncthreads", line);
  release_barrier_if_full();
  yield();
  tsan_acquire(scheduler.tags);
}

Meeting& meet(uint32_t mask, Operation operation, const Payload& payload, int line,
              void (*complete)(Meeting&)) {
  Warp& warp = scheduler.warps[current->warp];
  const int lane = current->lane;
  const uint32_t bit = 1u << lane;
  if ((mask & bit) == 0) fail("a lane calls a warp collective whose mask leaves it out", line);
  Meeting* meeting = nullptr;
  for (Meeting& m : warp.meetings)
    if (m.left > 0 && m.mask == mask && m.arrived != mask && (m.arrived & bit) == 0) meeting = &m;
  for (Meeting& m : warp.meetings) {
    if (meeting != nullptr) break;
    if (m.left > 0) continue;
    meeting = &m;
    m.mask = mask;
    m.arrived = 0;
    m.operation = operation;
    m.line = line;
    m.left = std::popcount(mask);
  }
  if (meeting == nullptr) fail("more warp collectives at once than the emulator holds", line);
  if (meeting->operation != operation)
    fail("lanes of a warp disagree: this collective meets another kind at line " +
             std::to_string(meeting->line),
         line);
  meeting->in[lane] = payload;
  meeting->arrived |= bit;
  // of all collectives only __syncwarp orders memory
  char* tag = scheduler.tags + kTagBytes * static_cast<size_t>(1 + current->warp);
  if (operation == Operation::kSyncWarp) tsan_release(tag);
  if (meeting->arrived == mask) {
    counts.collectives += 1;
    if (complete != nullptr) complete(*meeting);
    warp.ready |= mask;
  } else {
    set_waiting("a warp collective", line);
    yield();
  }
  if (operation == Operation::kSyncWarp) tsan_acquire(tag);
  return *meeting;
}

void leave(Meeting& meeting) { meeting.left -= 1; }

void queue_copy(PendingCopy copy, int line) {
  if (current->copies.size() == kMaxCopies)
    fail("more pending cp.async copies than the emulator holds", line);
  current->copies.push_back(copy);
  current->line = line;
}

void commit_copies() { current->copy_groups.push_back(current->copies.size()); }

size_t due_copies(int groups_left) {
  const auto groups = static_cast<int>(current->copy_groups.size());
  return groups <= groups_left ? 0 : current->copy_groups[groups - groups_left - 1];
}

void drop_copies(size_t count, int groups_left) {
  const auto groups = static_cast<int>(current->copy_groups.size());
  if (groups <= groups_left) return;
  // moved one by one: memmove would be an access in ThreadSanitizer's eyes
  std::vector<PendingCopy>& copies = current->copies;
  for (size_t i = count; i < copies.size(); ++i) copies[i - count] = copies[i];
  copies.resize(copies.size() - count);
  std::vector<size_t>& ends = current->copy_groups;
  const auto dropped = static_cast<size_t>(groups - groups_left);
  for (size_t i = dropped; i < ends.size(); ++i) ends[i - dropped] = ends[i] - count;
  ends.resize(ends.size() - dropped);
}

}  // namespace mmada::simt
