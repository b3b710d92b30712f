// SPDX-License-Identifier: MIT
#include "mmada/distributed/store.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "mmada/core/check.h"

namespace mmada {

StorePtr connect_store(const ProcessEnvironment& environment, const std::string& purpose,
                       std::chrono::milliseconds timeout, bool serve) {
  c10d::TCPStoreOptions options;
  options.port = environment.master_port;
  options.isServer = serve && environment.rank == 0 && !environment.store_is_served;
  options.waitWorkers = serve && !environment.store_is_served;
  if (options.waitWorkers) options.numWorkers = static_cast<size_t>(environment.world_size);
  options.timeout = timeout;
  const StorePtr store = c10::make_intrusive<c10d::TCPStore>(environment.master_address, options);
  return c10::make_intrusive<c10d::PrefixStore>(cat("mmada/", environment.restart, "/", purpose), store);
}

}  // namespace mmada
