// SPDX-License-Identifier: MIT
#include "mmada/distributed/group.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <torch/csrc/distributed/c10d/debug.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupWrapper.hpp>

#include <atomic>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/distributed/device_backend.h"
#include "mmada/distributed/heartbeat.h"
#include "mmada/distributed/store.h"
#include "mmada/ops/load_cuda.h"

namespace mmada {

C10_DEFINE_REGISTRY(DeviceBackends, DeviceBackend);

namespace {

c10::intrusive_ptr<c10d::PrefixStore> within(const std::string& prefix, const StorePtr& store) {
  return c10::make_intrusive<c10d::PrefixStore>(prefix, store);
}

c10::intrusive_ptr<c10d::Backend> gloo(const std::string& prefix, const StorePtr& store,
                                       const ProcessEnvironment& environment, const GroupOptions& options) {
  const auto gloo_options = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo_options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(within(prefix, store), environment.rank,
                                                     environment.world_size, gloo_options);
}

c10::intrusive_ptr<c10d::Backend> on_device(const StorePtr& store, const ProcessEnvironment& environment,
                                            const GroupOptions& options) {
  const auto kind = c10::DeviceTypeName(options.device.type(), /*lower_case=*/true);
  const auto backend = DeviceBackends()->Create(kind);
  MMADA_CHECK(backend != nullptr, "process group: found device ", options.device, ", expected cpu: ",
              options.device.is_cuda() ? cuda_library().reason : "no collectives of this kind of device");
  return backend->connect(within(kind, store), environment.rank, environment.world_size, options.timeout);
}

using Backends = std::vector<c10::intrusive_ptr<c10d::Backend>>;

/// Where the environment asks for it, behind a wrapper that compares the ranks' calls over Gloo. Appends what
/// takes a timeout, which the wrapper does not, to `connected`.
c10::intrusive_ptr<c10d::Backend> checked(const c10::intrusive_ptr<c10d::Backend>& backend,
                                          const std::string& prefix, const StorePtr& store,
                                          const ProcessEnvironment& environment, const GroupOptions& options,
                                          Backends* connected) {
  connected->push_back(backend);
  if (c10d::debug_level() != c10d::DebugLevel::Detail) return backend;
  connected->push_back(gloo(prefix, store, environment, options));
  return c10::make_intrusive<c10d::ProcessGroupWrapper>(backend, connected->back());
}

/// Adds the time of its life to a sum.
struct Stopwatch {
  std::chrono::nanoseconds* sum;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  ~Stopwatch() { *sum += std::chrono::steady_clock::now() - begin; }
};

}  // namespace

struct Group::Connection {
  StorePtr store;
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  Backends backends;  // of the group
  std::chrono::milliseconds timeout{};
  std::atomic<int64_t> step = 0, collectives = 0;
  std::atomic<const char*> last = "none";
  std::chrono::nanoseconds spent{};      // in collectives
  std::unique_ptr<Heartbeat> heartbeat;  // reads the above
};

Group Group::connect(const ProcessEnvironment& environment, const GroupOptions& options) {
  Group group;
  if (environment.world_size == 1) return group;
  group.rank_ = environment.rank;
  group.size_ = environment.world_size;
  try {
    using Type = c10d::ProcessGroup::BackendType;
    group.connection_ = std::make_shared<Connection>();
    Backends* const backends = &group.connection_->backends;
    const StorePtr store = connect_store(environment, "group", options.timeout, /*serve=*/true);
    auto processes = c10::make_intrusive<c10d::ProcessGroup>(store, environment.rank, environment.world_size);
    c10d::setDebugLevelFromEnvironment();
    processes->setBackend(
        at::kCPU, Type::GLOO,
        checked(gloo("gloo", store, environment, options), "check", store, environment, options, backends));
    if (!options.device.is_cpu()) {
      processes->setBoundDeviceId(options.device);
      processes->setBackend(options.device.type(), Type::NCCL,
                            checked(on_device(store, environment, options), "check device", store,
                                    environment, options, backends));
    }
    processes->setDefaultBackend(Type::GLOO);
    processes->setGroupName("world");
    group.connection_->store = store;
    group.connection_->timeout = options.timeout;
    group.connection_->group = processes;
    if (options.lost) group.watch(environment, options);
  } catch (const c10::Error& error) {
    throw Error(cat("process group: rank ", environment.rank, " of ", environment.world_size, " at ",
                    environment.master_address, ":", environment.master_port, ": ",
                    error.what_without_backtrace()));
  }
  return group;
}

void Group::watch(const ProcessEnvironment& environment, const GroupOptions& options) {
  const auto lost = [lost = options.lost, here = connection_.get(), rank = rank_](
                        int silent, std::chrono::milliseconds silence) {
    lost(LostRank{.silent_rank = silent,
                  .silence = silence,
                  .rank = rank,
                  .step = here->step.load(),
                  .collectives = here->collectives.load(),
                  .last_collective = here->last.load()});
  };
  connection_->heartbeat =
      std::make_unique<Heartbeat>(environment, Heartbeat::Options{options.heartbeat, lost});
}

void Group::at_step(int64_t step) const {
  if (connection_) connection_->step = step;
}

void Group::set_timeout(std::optional<std::chrono::milliseconds> timeout) const {
  if (!connection_) return;
  for (const auto& backend : connection_->backends)
    backend->setTimeout(timeout.value_or(connection_->timeout));
}

double Group::seconds_in_collectives() const {
  return connection_ ? std::chrono::duration<double>(connection_->spent).count() : 0.0;
}

void Group::Work::wait() {
  if (wait_) std::exchange(wait_, nullptr)();
}

template <class Start>
Group::Work Group::start(const char* collective, const Start& start) const {
  const auto failed = [collective, rank = rank_, size = size_](const std::exception& error) {
    const auto* torch = dynamic_cast<const c10::Error*>(&error);
    return Error(cat("process group: rank ", rank, " of ", size, ": ", collective, ": ",
                     torch != nullptr ? torch->what_without_backtrace() : error.what()));
  };
  ++connection_->collectives;
  connection_->last = collective;
  Work work;
  try {
    const auto under_way = [&] {
      const Stopwatch stopwatch{&connection_->spent};
      return start(*connection_->group);
    }();
    work.wait_ = [under_way, failed, here = connection_] {
      const Stopwatch stopwatch{&here->spent};
      try {
        under_way->wait();
      } catch (const std::exception& error) {
        throw failed(error);
      }
    };
  } catch (const std::exception& error) {
    throw failed(error);
  }
  return work;
}

Group::Work Group::all_gather(const at::Tensor& out, const at::Tensor& in) const {
  const c10::NoGradGuard no_grad;
  MMADA_CHECK(out.numel() == size_ * in.numel(), "all_gather: out: found ", out.numel(),
              " elements, expected ", size_, " times the ", in.numel(), " of in");
  if (!connection_) return out.copy_(in.view_as(out)), Work();
  return start("all_gather", [&](c10d::ProcessGroup& group) {
    at::Tensor output = out, input = in;
    return group._allgather_base(output, input);
  });
}

Group::Work Group::reduce_scatter(const at::Tensor& out, const at::Tensor& in) const {
  const c10::NoGradGuard no_grad;
  MMADA_CHECK(in.numel() == size_ * out.numel(), "reduce_scatter: in: found ", in.numel(),
              " elements, expected ", size_, " times the ", out.numel(), " of out");
  if (!connection_) return out.copy_(in.view_as(out)), Work();
  return start("reduce_scatter", [&](c10d::ProcessGroup& group) {
    at::Tensor output = out, input = in;
    return group._reduce_scatter_base(output, input);
  });
}

void Group::all_reduce(const at::Tensor& tensor) const {
  if (!connection_) return;
  std::vector<at::Tensor> tensors{tensor};
  start("all_reduce", [&](c10d::ProcessGroup& group) { return group.allreduce(tensors); }).wait();
}

void Group::broadcast(const at::Tensor& tensor) const {
  if (!connection_) return;
  std::vector<at::Tensor> tensors{tensor};
  start("broadcast", [&](c10d::ProcessGroup& group) { return group.broadcast(tensors); }).wait();
}

std::vector<double> Group::sum(std::vector<double> values) const {
  all_reduce(at::from_blob(values.data(), {std::ssize(values)}, at::kDouble));
  return values;
}

std::vector<int64_t> Group::largest(std::vector<int64_t> values) const {
  const at::Tensor own = at::from_blob(values.data(), {std::ssize(values)}, at::kLong);
  const at::Tensor all = at::empty({size_ * own.numel()}, at::kLong);
  all_gather(all, own).wait();
  own.copy_(all.view({size_, -1}).amax(0));
  return values;
}

void Group::agree(const std::string& what, const std::function<void()>& work) const {
  std::exception_ptr own;
  try {
    work();
  } catch (...) {
    own = std::current_exception();
  }
  if (connection_) {
    const int64_t other = largest({own ? rank_ + 1 : 0}).front();
    if (other > 0 && !own)
      throw Error(cat(what, ": rank ", other - 1, " of ", size_, " failed, as its own message says"));
  }
  if (own) std::rethrow_exception(own);
}

void Group::barrier() const {
  if (connection_) start("barrier", [](c10d::ProcessGroup& group) { return group.barrier(); }).wait();
}

}  // namespace mmada
