// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace mmada::simt {

/// A stack of its own with a place where it was left: one emulated CUDA thread, or the caller's own stack.
///
/// The switch is boost's fcontext where CMake found it (MMADA_SIMT_BOOST), else x86-64 assembly, else
/// ucontext. AddressSanitizer and ThreadSanitizer are told of every switch when they are linked in; to the
/// latter a switch orders nothing, so that only the emulated barriers do.
class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the next resume() call entry on this stack; entry calls entered() first and never returns.
  void prepare(char* stack, void (*entry)());
  /// Makes this the fiber of the stack that calls: the one to come back to.
  void adopt();
  /// Leaves `from`, the running fiber, for this one; returns when something resumes `from`.
  void resume(Fiber& from);
  static void entered();
  /// ThreadSanitizer reports no race with a thread it has forgotten: prepare() gives a fiber a new identity
  /// and keeps the old one until this is called.
  static void destroy_retired();

 private:
  void* context_ = nullptr;  ///< the saved stack pointer, or a ucontext_t
  void* thread_ = nullptr;   ///< ThreadSanitizer's identity
  bool owns_thread_ = false;
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t size_ = 0;
};

/// Stacks side by side for the fibers of a block.
class Stacks {
 public:
  ~Stacks();
  /// Makes at least `count` of them. What lay on them belonged to other threads: where ThreadSanitizer
  /// watches they are fresh pages, without history.
  void renew(size_t count);
  char* operator[](size_t i) const;

 private:
  char* memory_ = nullptr;
  size_t count_ = 0;
};

/// ThreadSanitizer's view, nothing where it is not linked in.
bool thread_sanitizer();
void tsan_release(void* tag);
void tsan_acquire(void* tag);
/// Between these, memory traffic and frees of the calling fiber are the emulator's own and never reported.
void tsan_ignore_begin();
void tsan_ignore_end();

}  // namespace mmada::simt
