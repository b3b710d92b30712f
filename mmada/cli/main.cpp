// SPDX-License-Identifier: MIT
// The mmada program: parses flags, dispatches to one verb, and maps failures to exit statuses
// (0 success, 1 bad data or failure, 2 usage).
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/core/version.h"
#include "mmada/formats/input_file.h"

namespace mmada::cli {

void print_json(const Json& json) {
  std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

namespace {

int run(int argc, char** argv) {
  CLI::App app{"MMaDA in C++: one diffusion transformer that writes, sees and draws"};
  app.name("mmada");
  app.set_version_flag("-V,--version", "mmada " MMADA_VERSION);
  app.require_subcommand(1);
  add_text(app);
  add_chat(app);
  add_mmu(app);
  add_t2i(app);
  add_inpaint(app);
  add_eval(app);
  add_extrapolate(app);
  add_infill(app);
  add_bench(app);
  add_completion(app);
  add_convert(app);
  add_data(app);
  add_detokenize(app);
  add_info(app);
  add_logits(app);
  add_plot(app);
  add_reward(app);
  add_tokenize(app);
  add_train(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return 2;
  }
  return 0;
}

/// What was printed and cannot be written (a full disk) is a failure too.
void finish_stdout() {
  errno = 0;
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  MMADA_CHECK(written, "standard output: writing failed", errno != 0 ? ": " + errno_text(errno) : "");
}

}  // namespace
}  // namespace mmada::cli

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit shall be an error with a path, not a death
  try {
    const int status = mmada::cli::run(argc, argv);
    mmada::cli::finish_stdout();
    return status;
  } catch (const mmada::cli::ExitStatus& status) {
    return status.code;
  } catch (const mmada::UsageError& error) {
    std::fprintf(stderr, "mmada: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mmada: %s\n", error.what());
    return 1;
  }
}
