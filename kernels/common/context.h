// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct CUstream_st;  // a CUDA stream, without CUDA's headers

namespace mmada::kernels {

enum class Status {
  kOk,
  kInvalid,            ///< sizes that contradict each other
  kUnsupported,        ///< an element type or size this kernel does not take
  kWorkspaceTooSmall,  ///< less than the kernel's workspace_size()
  kLaunchFailed,       ///< CUDA refused the launch
};

constexpr const char* status_name(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kInvalid:
      return "contradictory sizes";
    case Status::kUnsupported:
      return "unsupported element type or size";
    case Status::kWorkspaceTooSmall:
      return "workspace too small";
    case Status::kLaunchFailed:
      return "CUDA launch failed";
  }
  return "unknown status";
}

/// What a kernel may use besides its operands. mmada/ops fills it in; tests make their own.
struct Context {
  CUstream_st* stream = nullptr;  ///< CUDA kernels run in it
  int compute_capability = 80;    ///< of the stream's GPU, 10 x major + minor; the emulator plays the oldest
  /// CPU kernels cut their work into chunks whose number depends on shapes alone; this runs body(0) ...
  /// body(chunks
  /// - 1), in any order and on any threads, and returns when all are done. Empty: in order on the calling
  /// thread.
  std::function<void(int64_t chunks, const std::function<void(int64_t)>& body)> parallel_for;
  void* workspace = nullptr;  ///< at least the kernel's workspace_size(), aligned to 64 bytes
  size_t workspace_bytes = 0;

  void for_chunks(int64_t chunks, const std::function<void(int64_t)>& body) const {
    if (parallel_for) return parallel_for(chunks, body);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
  }
};

}  // namespace mmada::kernels
