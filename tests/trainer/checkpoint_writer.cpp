// SPDX-License-Identifier: MIT
// A program that saves checkpoint after checkpoint, for tests that kill it or make its system calls fail:
//   checkpoint_writer RUN LAST LIMIT ELEMENTS
// Goes on from RUN's newest checkpoint, whose contents it checks, to step LAST, and keeps LIMIT checkpoints.
// Every tensor of step N has ELEMENTS elements and is filled with N. Prints "loaded N" and then "saved N"
// for every step that save_checkpoint() acknowledged. Exits with 74 where a save failed.
#include <ATen/ATen.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/trainer/checkpoint.h"

namespace {

using namespace mmada;

void tell(const std::string& line) {
  const ssize_t put = ::write(STDOUT_FILENO, (line + "\n").data(), line.size() + 1);
  if (put != static_cast<ssize_t>(line.size() + 1)) ::_exit(3);
}

std::vector<CheckpointTensor> tensors_of(int64_t step, int64_t elements) {
  const auto value = static_cast<double>(step);
  return {{"w", "master", at::full({elements}, value, at::kFloat), {elements}},
          {"w", "exp_avg", at::full({elements}, -value, at::kFloat), {elements}}};
}

int64_t resume(const std::string& run, int64_t elements) {
  std::vector<std::string> refused;
  const auto found = newest_checkpoint(run, &refused);
  MMADA_CHECK(refused.empty(), refused.empty() ? "" : refused.front());
  if (!found) return 0;
  const auto loaded = tensors_of(0, elements), expected = tensors_of(found->step, elements);
  const Json state = load_checkpoint(found->path, loaded);
  MMADA_CHECK(state.at("step") == found->step, found->path, ": found the state of another step");
  for (size_t i = 0; i < loaded.size(); ++i)
    MMADA_CHECK(at::equal(loaded[i].tensor, expected[i].tensor), found->path, ": found other tensors");
  return found->step;
}

}  // namespace

int main(int, char** arguments) {
  std::signal(SIGXFSZ, SIG_IGN);  // as the program `mmada` does
  const std::string run = arguments[1];
  const int64_t last = std::stoll(arguments[2]), limit = std::stoll(arguments[3]);
  const int64_t elements = std::stoll(arguments[4]);
  try {
    int64_t step = resume(run, elements);
    tell(cat("loaded ", step));
    for (++step; step <= last; ++step) {
      save_checkpoint(run,
                      {.step = step,
                       .tensors = tensors_of(step, elements),
                       .state = {{"step", step}},
                       .save_model =
                           [&](const std::string& directory) {
                             std::filesystem::create_directory(directory + "/unwrapped_model");
                             write_file(directory + "/unwrapped_model/config.json", cat(step, "\n"));
                           }},
                      limit);
      tell(cat("saved ", step));
    }
  } catch (const SaveError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 74;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
