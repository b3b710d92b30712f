// SPDX-License-Identifier: MIT
#include "mmada/core/signal_stack.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace {

using namespace mmada;

volatile std::sig_atomic_t caught = 0;
void count(int) { caught = caught + 1; }

#ifdef __x86_64__
/// Lets the signal interrupt this thread while its stack pointer is `top`, as in a generated kernel: nothing
/// but the signal writes below it.
void raise_at(std::byte* top, int signal) {
  long result = SYS_tgkill;
  __asm__ volatile("mov %%rsp, %%r12\n\tmov %[top], %%rsp\n\tsyscall\n\tmov %%r12, %%rsp"
                   : "+a"(result)
                   : "D"(static_cast<long>(::getpid())), "S"(::syscall(SYS_gettid)),
                     "d"(static_cast<long>(signal)), [top] "r"(top)
                   : "rcx", "r11", "r12", "memory");
}

/// Bytes below a borrowed stack pointer that a signal has changed; -1: it was not caught.
int64_t overwritten(int signal) {
  std::vector<std::byte> heap(size_t{1} << 18, std::byte{0x5a});
  const int before = caught;
  raise_at(heap.data() + heap.size() - 4096, signal);
  if (caught != before + 1) return -1;
  return std::ranges::count_if(heap, [](std::byte byte) { return byte != std::byte{0x5a}; });
}
#endif

}  // namespace

#ifdef __x86_64__
TEST_CASE(
    "a signal spoils no heap that a kernel's stack pointer is in, where the thread has a signal stack") {
  int64_t none = 0, own = 0, again = 0, not_asked = 0, gone = 0;
  std::thread([&] {
    stack_t before{}, no_stack{};  // Catch and AddressSanitizer bring stacks for signals
    no_stack.ss_flags = SS_DISABLE;
    ::sigaltstack(&no_stack, &before);
    handle_signal(SIGUSR2, count);
    none = overwritten(SIGUSR2);
    {
      const SignalStack stack;
      own = overwritten(SIGUSR2), again = overwritten(SIGUSR2);
      std::signal(SIGUSR1, count);
      not_asked = overwritten(SIGUSR1);
    }
    gone = overwritten(SIGUSR2);
  }).join();
  CHECK(none > 0);
  CHECK(own == 0);
  CHECK(again == 0);
  CHECK(not_asked > 0);
  CHECK(gone > 0);
}
#endif

TEST_CASE("signal stacks nest") {
  const SignalStack outer;
  stack_t before{}, after{};
  ::sigaltstack(nullptr, &before);
  {
    const SignalStack inner;
    ::sigaltstack(nullptr, &after);
    CHECK(after.ss_sp != before.ss_sp);
    CHECK(after.ss_size >= 128 * 1024);
  }
  ::sigaltstack(nullptr, &after);
  CHECK(after.ss_sp == before.ss_sp);
}
