// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace mmada {

/// A progress line: bar, count, what the caller adds, elapsed and remaining time.
///
/// On a terminal one line is redrawn, at most ten times a second; elsewhere a plain line is written every
/// `log_seconds`. Times come from the steady clock. Nothing is written with a null stream.
class Progress {
 public:
  struct Options {
    std::string label;
    int64_t total = 0;  ///< of the whole job
    int64_t start = 0;  ///< already done when this process began
    bool terminal = false;
    double log_seconds = 30.0;
  };
  Progress(std::ostream* out, Options options);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` stands behind the bar, e.g. "loss 1.234, 3400 tok/s".
  void update(int64_t done, const std::string& note = "");
  /// Ends the line, so that other output may follow. Called by the destructor too.
  void finish();

 private:
  void draw(int64_t done, const std::string& note, double elapsed);

  std::ostream* out_;
  Options options_;
  std::chrono::steady_clock::time_point begin_, last_;
  std::string last_note_;
  int64_t last_done_ = -1;
  size_t width_ = 0;
  bool drawn_ = false;
};

/// "1:02:03", "4:05": for people.
std::string duration_text(double seconds);

}  // namespace mmada
