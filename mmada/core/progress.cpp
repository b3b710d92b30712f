// SPDX-License-Identifier: MIT
#include "mmada/core/progress.h"

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int64_t kBarWidth = 24;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string duration_text(double total_seconds) {
  const auto total = static_cast<int64_t>(std::max(0.0, total_seconds) + 0.5);
  char text[48];
  if (total >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(total / 3600),
                  static_cast<long long>(total / 60 % 60), static_cast<long long>(total % 60));
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(total / 60),
                  static_cast<long long>(total % 60));
  return text;
}

Progress::Progress(std::ostream* out, Options options)
    : out_(out), options_(std::move(options)), begin_(std::chrono::steady_clock::now()), last_(begin_) {}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, const std::string& note) {
  if (out_ == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  const double pause = options_.terminal ? kRedrawSeconds : options_.log_seconds;
  last_done_ = done;
  last_note_ = note;
  if (drawn_ && seconds(now - last_) < pause) return;
  draw(done, note, seconds(now - begin_));
  last_ = now;
}

void Progress::draw(int64_t done, const std::string& note, double elapsed) {
  std::string line = options_.label + " ";
  if (options_.terminal && options_.total > 0) {
    const int64_t filled = std::clamp<int64_t>(done * kBarWidth / options_.total, 0, kBarWidth);
    line.append("[").append(filled, '=').append(kBarWidth - filled, ' ').append("] ");
  }
  line.append(cat(done, "/", options_.total));
  if (!note.empty()) line.append("  ").append(note);
  line.append("  ").append(duration_text(elapsed));
  const int64_t made = done - options_.start;
  if (made > 0 && options_.total > done) {
    const double per_unit = elapsed / static_cast<double>(made);
    line.append(", ")
        .append(duration_text(per_unit * static_cast<double>(options_.total - done)))
        .append(" left");
  }
  if (options_.terminal) {
    const size_t blank = width_ > line.size() ? width_ - line.size() : 0;
    *out_ << '\r' << line << std::string(blank, ' ') << std::flush;
    width_ = line.size();
  } else {
    *out_ << line << std::endl;
  }
  drawn_ = true;
}

void Progress::finish() {
  if (out_ == nullptr || last_done_ < 0) return;
  draw(last_done_, last_note_, seconds(std::chrono::steady_clock::now() - begin_));
  if (options_.terminal) *out_ << '\n' << std::flush;
  last_done_ = -1;
  width_ = 0;
}

}  // namespace mmada
