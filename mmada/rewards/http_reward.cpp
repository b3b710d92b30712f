// SPDX-License-Identifier: MIT
#include "mmada/rewards/http_reward.h"

#include "mmada/rewards/installed_files.h"
#include "mmada/rewards/process_reward.h"

namespace mmada {
namespace {

/// What libcurl takes; a user's name within would show up in messages.
std::string parse_url(Fields& fields) {
  const std::string url = fields.string("url");
  const size_t host = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (host == 0 || host == url.size()) fields.fail("url", url, "an address http:// or https://");
  if (url.substr(host, url.find('/', host) - host).find('@') != std::string::npos)
    fields.fail("url", "a user's name", "none: put it into \"headers\"");
  return url;
}

/// One line each, else a value could smuggle in another header.
std::vector<std::string> parse_headers(Fields& fields) {
  std::vector<std::string> lines;
  const Json headers = fields.has("headers") ? fields.raw("headers") : Json::object();
  if (!headers.is_object()) fields.fail("headers", found_text(headers), "an object of texts");
  for (const auto& [name, value] : headers.items()) {
    const std::string key = "headers." + name;
    if (!value.is_string()) fields.fail(key, found_text(value), "a text");
    lines.push_back(name + ": " + value.get<std::string>());
    if (name.empty() || name.find_first_of(" :") != std::string::npos ||
        lines.back().find_first_of(std::string("\r\n\0", 3)) != std::string::npos)
      fields.fail(key, "characters that no header has", "a name and a value of one line");
  }
  return lines;
}

}  // namespace

std::unique_ptr<Reward> make_http_reward(Fields fields) {
  ProcessRewardOptions options = parse_worker_options(fields);
  const Json settings = {{"url", parse_url(fields)},
                         {"headers", parse_headers(fields)},
                         {"timeout_milliseconds", options.timeout.count()}};
  fields.finish();
  options.command = {find_program("mmada-reward-http")};
  options.environment = {"MMADA_REWARD_CONFIG=" + settings.dump()};
  options.timeout += std::chrono::seconds(5);  // the worker's own limit ends first, and it says more
  return make_worker_reward(options);
}

}  // namespace mmada
