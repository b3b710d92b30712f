// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstddef>
#include <memory>

namespace mmada {

/// Memory of its own for the signal handlers of the thread that makes this, while it lives; it ends in that
/// thread.
///
/// A thread that computes needs one: kernels that are generated while a program runs (oneDNN's) keep the
/// stack pointer in the middle of the heap, and what a signal puts below it overwrites what lies there.
class SignalStack {
 public:
  SignalStack();
  ~SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  std::unique_ptr<std::byte[]> memory_;
  stack_t before_{};
};

/// sigaction(), for a handler that runs on the SignalStack of the thread it interrupts, where there is one.
void handle_signal(int signal, void (*handler)(int), int flags = 0);

}  // namespace mmada
