// SPDX-License-Identifier: MIT
#include "mmada/core/thread_stack.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <thread>

#include "mmada/core/check.h"
#include "mmada/core/signal_stack.h"

namespace mmada {
namespace {

constexpr int kMostFrames = 64;
constexpr int kHandlerFrames = 2;  // the handler and what the kernel calls it by

// all that a signal handler may touch
std::array<void*, kMostFrames> frames;
std::atomic<int> frame_count = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void capture(int) {
  const int before = errno;
  frame_count = ::backtrace(frames.data(), kMostFrames);
  errno = before;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                    &std::free);
  return status == 0 ? text.get() : name;
}

std::string text_of(const void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "unknown";
  const std::string path = info.dli_fname, library = path.substr(path.find_last_of('/') + 1);
  if (info.dli_sname != nullptr) return library + ": " + demangled(info.dli_sname);
  const auto offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  return cat(library, "+0x", std::hex, offset);
}

}  // namespace

WatchedThread::WatchedThread() : thread_(::pthread_self()) {
  std::array<void*, 1> first;
  ::backtrace(first.data(), 1);  // loads what it needs now: a handler must not
  handle_signal(SIGURG, capture, SA_RESTART);
}

std::vector<std::string> WatchedThread::stack(std::chrono::milliseconds limit) const {
  frame_count = -1;
  const auto end = std::chrono::steady_clock::now() + limit;
  if (::pthread_kill(thread_, SIGURG) == 0)
    while (frame_count < 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<std::string> texts;
  for (int i = kHandlerFrames; i < frame_count; ++i) texts.push_back(text_of(frames[static_cast<size_t>(i)]));
  if (texts.empty()) texts.push_back(cat("the thread did not answer within ", limit.count(), " ms"));
  return texts;
}

}  // namespace mmada
