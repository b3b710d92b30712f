// SPDX-License-Identifier: MIT
// Compiled without sanitizers (simt.cmake): what happens here is no memory traffic of an emulated thread.
#include "kernels/simt/fiber.h"

#include <sys/mman.h>

#include <new>
#include <vector>

#if defined(MMADA_SIMT_BOOST)
#include <boost/context/detail/fcontext.hpp>
#elif !defined(__x86_64__)
#include <ucontext.h>
#endif

// Present when the program is built with the sanitizer in question.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, size_t size);
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* tag);
[[gnu::weak]] void __tsan_release(void* tag);
[[gnu::weak]] void AnnotateIgnoreReadsBegin(const char* file, int line);
[[gnu::weak]] void AnnotateIgnoreReadsEnd(const char* file, int line);
[[gnu::weak]] void AnnotateIgnoreWritesBegin(const char* file, int line);
[[gnu::weak]] void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace mmada::simt {

namespace {

constexpr size_t kStackBytes = size_t{128} << 10;
constexpr unsigned kNoSync = 1;  // of __tsan_switch_to_fiber

constexpr size_t kMaxRetired = 6000;  // ThreadSanitizer knows about 8000 threads

std::vector<void*> retired;  // identities that nobody runs under any more
Fiber* arriving = nullptr;   // the fiber being switched to
Fiber* leaving = nullptr;    // the one that is left

// ---- the switch itself: make(stack, entry) gives a context, swap(from, to) leaves one for the other
#if defined(MMADA_SIMT_BOOST)

using boost::context::detail::transfer_t;
void (*starting)() = nullptr;  // what a fresh context calls

void start(transfer_t from) {
  *static_cast<void**>(from.data) = from.fctx;
  starting();
}
void* make(char* stack, void (*entry)()) {
  starting = entry;
  return boost::context::detail::make_fcontext(stack + kStackBytes, kStackBytes, start);
}
void swap(void** from, void* to) {
  const transfer_t back = boost::context::detail::jump_fcontext(to, from);
  *static_cast<void**>(back.data) = back.fctx;
}
void drop(void*) {}

#elif defined(__x86_64__)

/// Saves what the System V ABI says a callee keeps, and goes on where `to` saved the same.
[[gnu::naked, gnu::noinline]] void swap(void** /*from*/, void* /*to*/) {
  asm volatile(
      "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
      "mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
      "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
}
void* make(char* stack, void (*entry)()) {
  constexpr int kSaved = 6;
  auto* top = reinterpret_cast<void**>(stack + kStackBytes);
  *--top = nullptr;  // where entry would return to; keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSaved; ++i) *--top = nullptr;
  return top;
}
void drop(void*) {}

#else

void* make(char* stack, void (*entry)()) {
  auto* context = new ucontext_t;
  getcontext(context);
  context->uc_stack = {};
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}
void swap(void** from, void* to) {
  if (*from == nullptr) *from = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(*from), static_cast<ucontext_t*>(to));
}
void drop(void* context) { delete static_cast<ucontext_t*>(context); }

#endif

}  // namespace

Fiber::~Fiber() {
  drop(context_);
  if (owns_thread_) __tsan_destroy_fiber(thread_);
}

void Fiber::prepare(char* stack, void (*entry)()) {
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(stack, kStackBytes);
  if (thread_sanitizer()) {
    if (owns_thread_) retired.push_back(thread_);
    if (retired.size() > kMaxRetired) destroy_retired();
    thread_ = __tsan_create_fiber(0);
    owns_thread_ = true;
  }
  drop(context_);
  context_ = make(stack, entry);
  fake_stack_ = nullptr;
  bottom_ = stack;
  size_ = kStackBytes;
}

void Fiber::adopt() {
  if (thread_sanitizer()) thread_ = __tsan_get_current_fiber();
}

void Fiber::entered() {
  if (__sanitizer_finish_switch_fiber != nullptr)
    __sanitizer_finish_switch_fiber(arriving->fake_stack_, &leaving->bottom_, &leaving->size_);
}

void Fiber::resume(Fiber& from) {
  if (this == &from) return;
  leaving = &from;
  arriving = this;
  if (__sanitizer_start_switch_fiber != nullptr)
    __sanitizer_start_switch_fiber(&from.fake_stack_, bottom_, size_);
  if (thread_sanitizer()) __tsan_switch_to_fiber(thread_, kNoSync);
  swap(&from.context_, context_);
  entered();
}

void Fiber::destroy_retired() {
  for (void* thread : retired) __tsan_destroy_fiber(thread);
  retired.clear();
}

Stacks::~Stacks() {
  if (memory_ != nullptr) munmap(memory_, count_ * kStackBytes);
}

void Stacks::renew(size_t count) {
  if (count <= count_ && !thread_sanitizer()) return;
  if (memory_ != nullptr) munmap(memory_, count_ * kStackBytes);
  memory_ = nullptr;
  void* memory = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  count_ = count;
}

char* Stacks::operator[](size_t i) const { return memory_ + i * kStackBytes; }

bool thread_sanitizer() { return __tsan_create_fiber != nullptr; }
void tsan_release(void* tag) {
  if (thread_sanitizer()) __tsan_release(tag);
}
void tsan_acquire(void* tag) {
  if (thread_sanitizer()) __tsan_acquire(tag);
}
void tsan_ignore_begin() {
  if (!thread_sanitizer()) return;
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
void tsan_ignore_end() {
  if (!thread_sanitizer()) return;
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

}  // namespace mmada::simt
