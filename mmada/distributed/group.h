// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/distributed/environment.h"

namespace mmada {

/// What a process knows when another one stands still.
struct LostRank {
  int silent_rank = 0;
  std::chrono::milliseconds silence{};
  int rank = 0;             ///< this process
  int64_t step = 0;         ///< as at_step() said last
  int64_t collectives = 0;  ///< so far
  std::string last_collective;
};

struct GroupOptions {
  /// After which a process that waits for others gives up, unless set_timeout() says otherwise. A process
  /// that died is noticed at once, one that hangs by its silence (`lost`) or by this.
  std::chrono::milliseconds timeout = std::chrono::seconds(300);
  /// This process's, whose tensors collectives take beside the CPU's: over NCCL, which libmmada_cuda.so
  /// brings.
  at::Device device = at::kCPU;
  /// Silence of a process after which `lost` is called, from another thread, in all others. Without `lost`
  /// nobody watches. What waits for that process will not return: a program reports and ends itself.
  std::chrono::milliseconds heartbeat = std::chrono::seconds(5);
  std::function<void(const LostRank&)> lost = nullptr;
};

/// The processes of a run and what they do together. Copies share the connection.
///
/// Every collective is called by all processes, in the same order, with tensors of the same size and type; a
/// process alone copies. Failures throw Error and name the rank. With TORCH_DISTRIBUTED_DEBUG=DETAIL a
/// mismatch is reported with both calls; without, mismatched sizes may end a process (Gloo).
class Group {
 public:
  /// A collective under way. Its tensors must live until it is over.
  class Work {
   public:
    Work() = default;
    /// Until the result is there (CPU), or until the device's stream will see it (GPU).
    void wait();

   private:
    friend class Group;
    std::function<void()> wait_;
  };

  /// A process alone.
  Group() = default;
  /// Meets the other processes of the environment over Gloo, and over NCCL for tensors on GPUs; alone where
  /// there are none.
  static Group connect(const ProcessEnvironment& environment, const GroupOptions& options = {});

  /// For reports: the step that what follows belongs to.
  void at_step(int64_t step) const;
  /// That of the collectives that begin from now on; without one, GroupOptions::timeout.
  void set_timeout(std::optional<std::chrono::milliseconds> timeout = {}) const;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Seconds that this process has spent in collectives so far, most of them waiting for others.
  double seconds_in_collectives() const;

  /// out [size x n] receives every rank's in [n], in rank order.
  Work all_gather(const at::Tensor& out, const at::Tensor& in) const;
  /// out [n] receives rank's part of the sum of every rank's in [size x n].
  Work reduce_scatter(const at::Tensor& out, const at::Tensor& in) const;
  /// Sums over the ranks, in place.
  void all_reduce(const at::Tensor& tensor) const;
  /// Every rank's tensor becomes rank 0's.
  void broadcast(const at::Tensor& tensor) const;
  /// Returns when every rank has called it.
  void barrier() const;
  /// Runs `work`, which talks to no other rank, in every rank; throws in all of them where it failed in any.
  void agree(const std::string& what, const std::function<void()>& work) const;
  /// The sum and the largest of every rank's values, element by element.
  std::vector<double> sum(std::vector<double> values) const;
  std::vector<int64_t> largest(std::vector<int64_t> values) const;

 private:
  struct Connection;
  void watch(const ProcessEnvironment& environment, const GroupOptions& options);
  template <class Start>
  Work start(const char* collective, const Start& start) const;

  int rank_ = 0, size_ = 1;
  std::shared_ptr<Connection> connection_;
};

}  // namespace mmada
