// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/rewards/worker_process.h"

namespace mmada {

/// http_stub.py for as long as this lives.
class HttpStub {
 public:
  HttpStub() : process_({"python3", MMADA_TEST_HTTP_STUB}) {
    port_ = process_.receive(WorkerProcess::Clock::now() + std::chrono::seconds(60), 100);
  }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + port_ + "/" + path; }

 private:
  WorkerProcess process_;
  std::string port_;
};

}  // namespace mmada
