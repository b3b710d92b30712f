// SPDX-License-Identifier: MIT
#include "mmada/rewards/worker/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "mmada/core/base64.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

constexpr int kOutOfTheWay = 64;  // of descriptors that a careless reward closes
constexpr JsonLimits kRequest = {.max_bytes = size_t{4} << 30, .max_depth = 128, .max_values = 64u << 20};

/// Where the variable says, moved and closed for programs that the reward starts; -1 where there is none.
int take_descriptor() {
  const char* text = std::getenv("MMADA_REWARD_FD");
  if (text == nullptr) return -1;
  const std::string_view digits(text);
  int given = -1;
  if (std::from_chars(digits.begin(), digits.end(), given).ptr != digits.end()) return -1;
  const int moved = fcntl(given, F_DUPFD_CLOEXEC, kOutOfTheWay);
  if (moved < 0) return -1;
  close(given);
  unsetenv("MMADA_REWARD_FD");
  return moved;
}

/// The worker leads a group of its own, in which the programs that the reward started are.
[[noreturn]] void end_group(int status) {
  if (getpgrp() == getpid()) kill(0, SIGKILL);
  _exit(status);
}

/// A reward that hangs would never read that nobody waits for it any more.
void end_with_the_other_side(int descriptor) {
  std::thread([descriptor] {
    pollfd watched{descriptor, 0, 0};
    while (poll(&watched, 1, -1) < 0 && errno == EINTR) continue;
    std::this_thread::sleep_for(std::chrono::seconds(1));  // the regular end is faster
    end_group(1);
  }).detach();
}

/// Lines over the descriptor.
class Lines {
 public:
  explicit Lines(int descriptor) : descriptor_(descriptor) {}

  void write(const Json& message) {
    const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (size_t written = 0; written < line.size();) {
      const ssize_t count = ::write(descriptor_, line.data() + written, line.size() - written);
      MMADA_CHECK(count >= 0 || errno == EINTR, "writing an answer: ", errno_text(errno));
      if (count > 0) written += static_cast<size_t>(count);
    }
  }

  std::optional<std::string> read() {
    for (size_t searched = 0;;) {
      if (const size_t end = buffer_.find('\n', searched); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      searched = buffer_.size();
      char chunk[65536];
      const ssize_t count = ::read(descriptor_, chunk, sizeof chunk);
      MMADA_CHECK(count >= 0 || errno == EINTR || errno == ECONNRESET,
                  "reading a batch: ", errno_text(errno));
      if (count == 0 || (count < 0 && errno == ECONNRESET)) return {};
      if (count > 0) buffer_.append(chunk, static_cast<size_t>(count));
    }
  }

 private:
  int descriptor_;
  std::string buffer_;
};

RewardSample sample_of(const Json& json) {
  RewardSample sample{.task = json.at("task"),
                      .prompt = json.at("prompt"),
                      .response = json.at("response"),
                      .image = {},
                      .answer = json.at("answer"),
                      .metadata = json.at("metadata")};
  if (const Json& image = json.at("image"); image.is_string())
    sample.image = decode_image(decode_base64(image.get<std::string>()), "the sample's image");
  return sample;
}

/// Runs it; what went wrong, in words, or nothing.
template <class Call>
std::optional<std::string> failure_of(const Call& call) {
  try {
    call();
    return {};
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "it threw what is no std::exception";
  }
}

Json scores_json(Reward& reward, const Json& request) {
  std::vector<RewardSample> samples;
  for (const Json& sample : request.at("samples")) samples.push_back(sample_of(sample));
  Json list = Json::array();
  for (const std::optional<double>& score : reward.score(samples)) {
    MMADA_CHECK(!score || std::isfinite(*score), "found ", *score, " as score ", list.size(),
                ", expected a finite one");  // JSON has no words for others
    list.push_back(score ? Json(*score) : Json());
  }
  return list;
}

Json answer_to(Reward& reward, const Json& request) {
  Json scores;
  const auto failure = failure_of([&] { scores = scores_json(reward, request); });
  return failure ? Json{{"id", request.at("id")}, {"error", *failure}}
                 : Json{{"id", request.at("id")}, {"scores", scores}};
}

/// Until the other side is gone.
void serve(Lines& lines, const std::function<std::unique_ptr<Reward>()>& make) {
  std::unique_ptr<Reward> reward;
  if (const auto failure = failure_of([&] { reward = make(); })) return lines.write({{"error", *failure}});
  lines.write({{"protocol", 1}});
  while (const auto line = lines.read())
    lines.write(answer_to(*reward, parse_json(*line, "the batch", kRequest)));
}

}  // namespace

int serve_reward(const char* program, const std::function<std::unique_ptr<Reward>()>& make) {
  std::signal(SIGPIPE, SIG_IGN);
  const int descriptor = take_descriptor();
  if (descriptor < 0) {
    std::fprintf(
        stderr,
        "%s: found no descriptor in the variable MMADA_REWARD_FD, expected to be started by a reward of "
        "mmada; try `mmada reward`\n",
        program);
    return 2;
  }
  end_with_the_other_side(descriptor);
  Lines lines(descriptor);
  if (const auto failure = failure_of([&] { serve(lines, make); })) {
    std::fprintf(stderr, "%s: %s\n", program, failure->c_str());
    return 1;  // the other side sees it, and ends the group
  }
  end_group(0);
}

}  // namespace mmada
