// SPDX-License-Identifier: MIT
#include "mmada/distributed/environment.h"

#include <catch2/catch.hpp>
#include <map>

#include "mmada/core/check.h"

namespace mmada {
namespace {

ProcessEnvironment with(const std::map<std::string, std::string>& variables) {
  return process_environment([&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST_CASE("without a starter's variables a process is alone") {
  const ProcessEnvironment alone = with({{"MASTER_PORT", "4000"}});
  CHECK(alone.rank == 0);
  CHECK(alone.world_size == 1);
  CHECK(alone.master_port == 4000);
}

TEST_CASE("torchrun's variables are read, those of Open MPI, PMI and Slurm where it set none") {
  const ProcessEnvironment torchrun = with({{"RANK", "5"},
                                            {"WORLD_SIZE", "8"},
                                            {"LOCAL_RANK", "1"},
                                            {"LOCAL_WORLD_SIZE", "4"},
                                            {"MASTER_ADDR", "host"},
                                            {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                            {"TORCHELASTIC_RESTART_COUNT", "2"},
                                            {"SLURM_PROCID", "0"},
                                            {"SLURM_NTASKS", "1"}});
  CHECK(torchrun.rank == 5);
  CHECK(torchrun.world_size == 8);
  CHECK(torchrun.local_rank == 1);
  CHECK(torchrun.local_size == 4);
  CHECK(torchrun.master_address == "host");
  CHECK(torchrun.store_is_served);
  CHECK(torchrun.restart == 2);
  CHECK(with({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "3"}}).rank == 2);
  CHECK(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "0"}}).local_rank == 0);
  CHECK(with({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "4"}}).world_size == 4);
  CHECK(with({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "4"}}).local_size == 4);
}

TEST_CASE("variables that contradict each other are errors that name them") {
  CHECK_THROWS_WITH(with({{"RANK", "1"}}), Catch::Contains("found RANK without WORLD_SIZE"));
  CHECK_THROWS_WITH(with({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), Catch::Contains("less than WORLD_SIZE 2"));
  CHECK_THROWS_WITH(with({{"RANK", "1x"}, {"WORLD_SIZE", "2"}}), Catch::Contains("RANK: found \"1x\""));
  CHECK_THROWS_WITH(with({{"MASTER_PORT", "70000"}}), Catch::Contains("from 1 to 65535"));
}

}  // namespace
}  // namespace mmada
