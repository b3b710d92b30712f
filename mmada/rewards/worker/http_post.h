// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mmada {

struct HttpOptions {
  std::string url;                           ///< http:// or https://
  std::vector<std::string> headers = {};     ///< "Name: value"
  std::chrono::milliseconds timeout{30000};  ///< from the name's lookup to the answer's last byte
  size_t most_bytes = 16u << 20;             ///< of an answer's body
};

/// Posts texts to one address, over one connection where the server keeps it. Redirects are not followed,
/// proxies not used (whatever the environment says), certificates verified, compressed answers not asked for.
class HttpPoster {
 public:
  explicit HttpPoster(HttpOptions options);
  ~HttpPoster();
  HttpPoster(const HttpPoster&) = delete;
  HttpPoster& operator=(const HttpPoster&) = delete;

  /// The body of the answer to a POST of JSON. Throws Error, with the address and the reason, where there is
  /// none in time, its status is not 200, or it is too long.
  std::string post(std::string_view json);

 private:
  struct Handle;
  HttpOptions options_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace mmada
