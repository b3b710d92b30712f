// SPDX-License-Identifier: MIT
#include "mmada/distributed/environment.h"

#include <charconv>
#include <cstdlib>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

/// What starters of processes call rank and size, in the run and on this machine.
struct Names {
  const char *rank, *size, *local_rank, *local_size;
};
constexpr Names kStarters[] = {{"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
                               {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                                "OMPI_COMM_WORLD_LOCAL_SIZE"},
                               {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
                               {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"}};

std::optional<int> number(const Lookup& lookup, const char* name, int low, int high) {
  const auto text = lookup(name);
  if (!text) return {};
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  MMADA_CHECK(error == std::errc() && end == text->data() + text->size() && value >= low && value <= high,
              "environment: ", name, ": found ", quote(*text, 40), ", expected a whole number from ", low,
              " to ", high);
  return value;
}

}  // namespace

std::optional<std::string> system_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

ProcessEnvironment process_environment(const Lookup& lookup) {
  constexpr int kMost = 1 << 20;
  ProcessEnvironment environment;
  for (const Names& names : kStarters) {
    const auto rank = number(lookup, names.rank, 0, kMost);
    const auto size = number(lookup, names.size, 1, kMost);
    if (!rank && !size) continue;
    MMADA_CHECK(rank && size, "environment: found ", rank ? names.rank : names.size, " without ",
                rank ? names.size : names.rank, ", expected both or none");
    MMADA_CHECK(*rank < *size, "environment: ", names.rank, ": found ", *rank, ", expected less than ",
                names.size, " ", *size);
    environment.rank = *rank;
    environment.world_size = *size;
    environment.local_rank = number(lookup, names.local_rank, 0, kMost).value_or(*rank);
    environment.local_size = number(lookup, names.local_size, 1, kMost).value_or(*size);
    break;
  }
  environment.master_address = lookup("MASTER_ADDR").value_or(environment.master_address);
  environment.master_port =
      static_cast<uint16_t>(number(lookup, "MASTER_PORT", 1, 65535).value_or(environment.master_port));
  environment.store_is_served = lookup("TORCHELASTIC_USE_AGENT_STORE").value_or("False") == "True";
  environment.restart = number(lookup, "TORCHELASTIC_RESTART_COUNT", 0, kMost).value_or(0);
  return environment;
}

}  // namespace mmada
