// SPDX-License-Identifier: MIT
#include "mmada/distributed/launch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "mmada/core/arguments.h"
#include "mmada/core/check.h"

namespace mmada {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGrace = std::chrono::seconds(10);  // between SIGTERM and SIGKILL

/// This process's environment with the run's variables in place of its own.
std::vector<std::string> environment_of(const LaunchOptions& options, int rank, uint16_t port) {
  auto variables = options.environment;
  const std::string number = std::to_string(rank);
  variables.insert(variables.end(), {{"RANK", number},
                                     {"LOCAL_RANK", number},
                                     {"WORLD_SIZE", std::to_string(options.processes)},
                                     {"LOCAL_WORLD_SIZE", std::to_string(options.processes)},
                                     {"MASTER_ADDR", "127.0.0.1"},
                                     {"MASTER_PORT", std::to_string(port)}});
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const bool replaced = std::any_of(variables.begin(), variables.end(), [&](const auto& variable) {
      return text.starts_with(variable.first + "=");
    });
    if (!replaced) result.push_back(text);
  }
  for (const auto& [name, value] : variables) result.push_back(name + "=" + value);
  return result;
}

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

/// Holds the signals back, so that they are waited for instead of breaking in.
class HeldSignals {
 public:
  HeldSignals() : set_(watched_signals()) { pthread_sigmask(SIG_BLOCK, &set_, &before_); }
  ~HeldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  const sigset_t& before() const { return before_; }
  /// The next signal, 0 when none came in time.
  int next(std::chrono::milliseconds limit) const {
    const timespec time{limit.count() / 1000, limit.count() % 1000 * 1'000'000};
    return std::max(sigtimedwait(&set_, nullptr, &time), 0);
  }

 private:
  sigset_t set_, before_;
};

pid_t spawn(const LaunchOptions& options, int rank, uint16_t port, const sigset_t& mask) {
  std::vector<std::string> command = options.command, environment = environment_of(options, rank, port);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &mask);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, command[0].c_str(), nullptr, &attributes,
                                  argument_pointers(command).data(), argument_pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  MMADA_CHECK(failed == 0, "launch: ", command[0], ": ", std::strerror(failed));
  return pid;
}

struct Failure {
  int rank;
  int status;
};

/// The processes that still run; sees to it that none outlives this object.
class Processes {
 public:
  ~Processes() {
    signal_all(SIGKILL);
    for (const auto& [rank, pid] : running_) waitpid(pid, nullptr, 0);
  }
  void add(int rank, pid_t pid) { running_.push_back({rank, pid}); }
  bool empty() const { return running_.empty(); }
  void signal_all(int signal) const {
    for (const auto& [rank, pid] : running_) kill(pid, signal);
  }
  /// Takes out those that ended; those of them that failed.
  std::vector<Failure> reap() {
    std::vector<Failure> failures;
    std::erase_if(running_, [&](const Process& process) {
      int status = 0;
      if (waitpid(process.pid, &status, WNOHANG) != process.pid) return false;
      const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      if (code != 0) failures.push_back({process.rank, code});
      return true;
    });
    return failures;
  }

 private:
  struct Process {
    int rank;
    pid_t pid;
  };
  std::vector<Process> running_;
};

}  // namespace

int launch(const LaunchOptions& options) {
  MMADA_CHECK(options.processes >= 1 && !options.command.empty(), "launch: found ", options.processes,
              " processes of a command of ", options.command.size(), " words, expected at least 1 of both");
  const HeldSignals signals;
  const uint16_t port = options.port != 0 ? options.port : free_port();
  Processes processes;
  for (int rank = 0; rank < options.processes; ++rank)
    processes.add(rank, spawn(options, rank, port, signals.before()));
  int result = 0;
  std::optional<Clock::time_point> kill_at;
  while (!processes.empty()) {
    const int signal = signals.next(std::chrono::milliseconds(200));
    if (signal == SIGINT || signal == SIGTERM || signal == SIGUSR1) processes.signal_all(signal);
    for (const auto& [rank, status] : processes.reap()) {
      if (options.failed) options.failed(rank, status);
      if (result != 0) continue;
      result = status;
      processes.signal_all(SIGTERM);
      kill_at = Clock::now() + kGrace;
    }
    if (kill_at && Clock::now() >= *kill_at) processes.signal_all(SIGKILL);
  }
  return result;
}

uint16_t free_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  MMADA_CHECK(descriptor >= 0, "launch: socket: ", std::strerror(errno));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool bound = bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  close(descriptor);
  MMADA_CHECK(bound, "launch: found no free port: ", std::strerror(error));
  return ntohs(address.sin_port);
}

}  // namespace mmada
