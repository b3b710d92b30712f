// SPDX-License-Identifier: MIT
#include "mmada/cli/compute_flags.h"

#include <ATen/Parallel.h>

namespace mmada::cli {

void add_compute_flags(CLI::App& verb, ComputeFlags* flags) {
  verb.add_option("--device", flags->device, "cpu, cuda or cuda:N")->capture_default_str();
  verb.add_option("--dtype", flags->dtype, "Weights' type: fp32, bf16 or fp16 [as stored]")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}));
  verb.add_option("-t,--threads", flags->threads, "CPU threads; 0: as many as there are cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

LoadOptions start_computing(const ComputeFlags& flags) {
  if (flags.threads > 0) at::set_num_threads(flags.threads);
  return {.device = flags.device, .dtype = flags.dtype};
}

}  // namespace mmada::cli
