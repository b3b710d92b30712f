// SPDX-License-Identifier: MIT
// mmada-reward-http: asks a reward server over HTTP, as a worker of its own: libcurl and what it brings along
// stay out of the process that trains. The request and its answer have the shape of OpenRLHF's remote reward
// models (openrlhf/utils/remote_rm_utils.py). The settings come in a variable, as headers may hold secrets.
#include <cstdio>
#include <cstdlib>

#include "mmada/core/base64.h"
#include "mmada/core/quote.h"
#include "mmada/rewards/worker/http_post.h"
#include "mmada/rewards/worker/serve.h"

namespace mmada {
namespace {

/// "images" is there where something was drawn: PNGs as data URLs, null for samples without.
Json request_of(std::span<const RewardSample> samples) {
  Json query = Json::array(), prompts = Json::array(), labels = Json::array(), images = Json::array();
  bool drawn = false;
  for (const RewardSample& sample : samples) {
    query.push_back(sample.prompt + sample.response);
    prompts.push_back(sample.prompt);
    labels.push_back(sample.answer);
    images.push_back(sample.image ? Json("data:image/png;base64," + encode_base64(encode_png(*sample.image)))
                                  : Json());
    drawn = drawn || sample.image;
  }
  Json request = {{"query", query}, {"prompts", prompts}, {"labels", labels}};
  if (drawn) request["images"] = images;
  return request;
}

class HttpReward : public Reward {
 public:
  explicit HttpReward(HttpOptions options) : url_(options.url), server_(std::move(options)) {}

  Scores score(std::span<const RewardSample> samples) override {
    const std::string body = server_.post(request_of(samples).dump());
    const Json list = rewards_of(body);
    MMADA_CHECK(list.size() == samples.size(), url_, ": found ", list.size(), " rewards, expected ",
                samples.size());
    Scores scores;
    for (const Json& reward : list) {
      MMADA_CHECK(reward.is_null() || reward.is_number(), url_, ": found ", quote(reward.dump()),
                  " as reward ", scores.size(), ", expected a number or null");
      scores.push_back(reward.is_null() ? std::nullopt : std::optional(reward.get<double>()));
    }
    return scores;
  }

 private:
  Json rewards_of(const std::string& body) const {
    Json answer;
    try {
      answer = parse_json(body, "the answer", {.max_bytes = body.size() + 1});
    } catch (const Error&) {
      throw Error(cat(url_, ": found ", quote(body), ", expected JSON"));
    }
    Json list = answer.is_object() ? answer.value("rewards", Json()) : Json();
    MMADA_CHECK(list.is_array(), url_, ": found ", quote(body),
                ", expected an object with a list \"rewards\"");
    return list;
  }

  std::string url_;
  HttpPoster server_;
};

HttpOptions options_of(const char* settings) {
  MMADA_CHECK(settings != nullptr, "found no settings in the variable MMADA_REWARD_CONFIG");
  const Json json = parse_json(settings, "MMADA_REWARD_CONFIG");
  Fields fields(json, "MMADA_REWARD_CONFIG");
  HttpOptions options{.url = fields.string("url"), .headers = fields.strings("headers")};
  options.timeout = std::chrono::milliseconds(fields.integer("timeout_milliseconds", 1, 1'000'000'000));
  fields.finish();
  return options;
}

}  // namespace
}  // namespace mmada

int main(int argc, char**) {
  if (argc != 1) {
    std::fprintf(stderr, "usage: mmada-reward-http, by a reward of type \"http\"\n");
    return 2;
  }
  return mmada::serve_reward("mmada-reward-http", [] {
    return std::make_unique<mmada::HttpReward>(mmada::options_of(std::getenv("MMADA_REWARD_CONFIG")));
  });
}
