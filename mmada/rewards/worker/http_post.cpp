// SPDX-License-Identifier: MIT
#include "mmada/rewards/worker/http_post.h"

#include <curl/curl.h>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {

struct HttpPoster::Handle {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string body;
  size_t most_bytes = 0;
  bool too_long = false;
  char reason[CURL_ERROR_SIZE] = {};

  ~Handle() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }

  template <class Value>
  void set(CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(easy, option, value);
    MMADA_CHECK(code == CURLE_OK, "libcurl: option ", static_cast<int>(option), ": ",
                curl_easy_strerror(code));
  }

  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers, line.c_str());
    MMADA_CHECK(longer != nullptr, "libcurl: out of memory");
    headers = longer;
  }

  /// Fewer bytes than were offered end the transfer.
  static size_t take(const char* data, size_t size, size_t count, void* to) {
    auto* handle = static_cast<Handle*>(to);
    handle->too_long = handle->body.size() + size * count > handle->most_bytes;
    if (handle->too_long) return 0;
    handle->body.append(data, size * count);
    return size * count;
  }
};

HttpPoster::HttpPoster(HttpOptions options)
    : options_(std::move(options)), handle_(std::make_unique<Handle>()) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  MMADA_CHECK(ready == CURLE_OK, "libcurl: ", curl_easy_strerror(ready));
  Handle& handle = *handle_;
  handle.easy = curl_easy_init();
  MMADA_CHECK(handle.easy != nullptr, "libcurl: cannot be started");
  handle.most_bytes = options_.most_bytes;
  handle.add_header("Content-Type: application/json");
  handle.add_header("Expect:");  // else long bodies wait a second for servers that do not know it
  for (const std::string& line : options_.headers) handle.add_header(line);
  handle.set(CURLOPT_URL, options_.url.c_str());
  handle.set(CURLOPT_PROTOCOLS_STR, "http,https");
  handle.set(CURLOPT_PROXY, "");
  handle.set(CURLOPT_FOLLOWLOCATION, 0L);
  handle.set(CURLOPT_NOSIGNAL, 1L);
  handle.set(CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
  handle.set(CURLOPT_HTTPHEADER, handle.headers);
  handle.set(CURLOPT_POST, 1L);
  handle.set(CURLOPT_WRITEFUNCTION, &Handle::take);
  handle.set(CURLOPT_WRITEDATA, &handle);
  handle.set(CURLOPT_ERRORBUFFER, handle.reason);
}

HttpPoster::~HttpPoster() = default;

std::string HttpPoster::post(std::string_view json) {
  Handle& handle = *handle_;
  handle.body.clear();
  handle.reason[0] = '\0';
  handle.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(json.size()));
  handle.set(CURLOPT_POSTFIELDS, json.data());
  const CURLcode code = curl_easy_perform(handle.easy);
  MMADA_CHECK(!handle.too_long, options_.url, ": found an answer of more than ", options_.most_bytes,
              " bytes");
  MMADA_CHECK(code == CURLE_OK, options_.url, ": ",
              handle.reason[0] != '\0' ? handle.reason : curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(handle.easy, CURLINFO_RESPONSE_CODE, &status);
  MMADA_CHECK(status == 200, options_.url, ": found status ", status, " and ", quote(handle.body),
              ", expected status 200");
  return std::move(handle.body);
}

}  // namespace mmada
