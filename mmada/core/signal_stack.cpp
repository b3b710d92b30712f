// SPDX-License-Identifier: MIT
#include "mmada/core/signal_stack.h"

#include <unistd.h>

#include <algorithm>

namespace mmada {
namespace {

// wide vector registers alone, which the kernel saves there, take up to 11 KiB
constexpr long kLeastBytes = 128 * 1024;

}  // namespace

SignalStack::SignalStack() {
  const auto bytes = static_cast<size_t>(std::max(::sysconf(_SC_SIGSTKSZ), kLeastBytes));
  memory_ = std::make_unique<std::byte[]>(bytes);
  stack_t own{};
  own.ss_sp = memory_.get();
  own.ss_size = bytes;
  ::sigaltstack(&own, &before_);
}

SignalStack::~SignalStack() { ::sigaltstack(&before_, nullptr); }

void handle_signal(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags | SA_ONSTACK;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace mmada
