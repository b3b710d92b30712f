// SPDX-License-Identifier: MIT
#include "mmada/rewards/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "mmada/core/arguments.h"

namespace mmada {
namespace {

constexpr int kWorkerDescriptor = 3;

/// Of several entries of one name the first counts.
std::vector<std::string> worker_environment(std::vector<std::string> result) {
  result.push_back("MMADA_REWARD_FD=" + std::to_string(kWorkerDescriptor));
  for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  return result;
}

/// Starts the program with `socket` as its descriptor 3, standard error as standard output too, and default
/// signals.
pid_t spawn(const std::vector<std::string>& words, const std::vector<std::string>& variables, int socket) {
  std::vector<std::string> command = words, environment = worker_environment(variables);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, socket, kWorkerDescriptor);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none), sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, command[0].c_str(), &files, &attributes,
                                  argument_pointers(command).data(), argument_pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) throw WorkerError(cat("cannot be started: ", command[0], ": ", std::strerror(failed)));
  return pid;
}

}  // namespace

WorkerProcess::WorkerProcess(const std::vector<std::string>& command,
                             const std::vector<std::string>& environment, uint64_t most_memory) {
  if (command.empty()) throw WorkerError("found no command, expected a program");
  int sockets[2];
  MMADA_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0,
              "worker: socketpair: ", std::strerror(errno));
  // its number must not be 3, else dup2 would leave it closed upon exec
  int theirs = sockets[1];
  if (theirs == kWorkerDescriptor) theirs = fcntl(sockets[1], F_DUPFD_CLOEXEC, kWorkerDescriptor + 1);
  try {
    pid_ = spawn(command, environment, theirs);
  } catch (...) {
    close(sockets[0]), close(sockets[1]);
    if (theirs != sockets[1]) close(theirs);
    throw;
  }
  close(sockets[1]);
  if (theirs != sockets[1]) close(theirs);
  socket_ = sockets[0];
  fcntl(socket_, F_SETFL, O_NONBLOCK);
  const rlimit limit{most_memory, most_memory};
  if (most_memory > 0) prlimit(pid_, RLIMIT_AS, &limit, nullptr);  // fails only where it has ended already
}

WorkerProcess::~WorkerProcess() {
  kill(-pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  close(socket_);
}

void WorkerProcess::wait_for(short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) throw WorkerError("no answer within its time limit");
    pollfd watched{socket_, events, 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::min<int64_t>(left, 1000)));
    if (ready > 0) return;
    MMADA_CHECK(ready == 0 || errno == EINTR, "worker: poll: ", std::strerror(errno));
  }
}

/// The other end is closed: says how the program ended, or that it only closed it.
void WorkerProcess::report_end() {
  siginfo_t ended = {};
  const auto until = Clock::now() + std::chrono::seconds(1);
  while (waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOWAIT | WNOHANG) == 0 &&
         ended.si_pid == 0 && Clock::now() < until)
    usleep(2000);
  if (ended.si_pid == 0) throw WorkerError("it closed its descriptor and goes on");
  if (ended.si_code == CLD_EXITED) throw WorkerError(cat("it ended with status ", ended.si_status));
  throw WorkerError(cat("it was ended by signal ", ended.si_status, " (", strsignal(ended.si_status), ")"));
}

void WorkerProcess::send(std::string_view line, Clock::time_point deadline) {
  std::string text(line);
  text += '\n';
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count >= 0)
      sent += static_cast<size_t>(count);
    else if (errno == EAGAIN)
      wait_for(POLLOUT, deadline);
    else if (errno != EINTR)
      report_end();
  }
}

std::string WorkerProcess::receive(Clock::time_point deadline, size_t most) {
  size_t searched = 0;
  for (;;) {
    if (const size_t end = buffer_.find('\n', searched); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    searched = buffer_.size();
    if (buffer_.size() > most) throw WorkerError(cat("found a line of more than ", most, " bytes"));
    char chunk[65536];
    const ssize_t count = recv(socket_, chunk, sizeof chunk, 0);
    if (count > 0)
      buffer_.append(chunk, static_cast<size_t>(count));
    else if (count < 0 && errno == EAGAIN)
      wait_for(POLLIN, deadline);
    else if (count == 0 || errno != EINTR)
      report_end();
  }
}

}  // namespace mmada
