// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mmada {

/// Which process of a run this is.
struct ProcessEnvironment {
  int rank = 0;        ///< in [0, world_size)
  int world_size = 1;  ///< processes of the run
  int local_rank = 0;  ///< among those of this machine: the number of its GPU
  int local_size = 1;  ///< processes of this machine; all where the starter does not say
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 29500;
  bool store_is_served = false;  ///< torchrun itself serves the store at the address: rank 0 does not
  int restart = 0;               ///< how often torchrun has restarted the run: keeps its stores apart
};

/// A variable of the environment, none where it is not set.
using Lookup = std::function<std::optional<std::string>(const std::string&)>;
std::optional<std::string> system_variable(const std::string& name);

/// Reads torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), or where RANK is not
/// set those of Open MPI, MPICH (PMI) or Slurm. Without any this is a run of one process. Throws on numbers
/// that contradict each other.
ProcessEnvironment process_environment(const Lookup& lookup = system_variable);

}  // namespace mmada
