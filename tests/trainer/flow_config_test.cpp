// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_config.h"

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

namespace {

using namespace mmada;

FlowPlan plan(const std::string& text) {
  const Json json = Json::parse(text);
  Fields dataset(json, "run.json", "dataset");
  FlowPlan parsed(dataset, "run.json");
  dataset.finish();
  return parsed;
}

const char* kTwoFlows = R"({
  "flows": [{"flow": "t2i", "rows": 6, "source": {"type": "a"}},
            {"name": "sums", "flow": "lm_chat", "rows": 4, "length": 42, "noise_floor": 0.3, "source": {"type": "b"}}],
  "phases": [{"until_step": 10, "flows": {"t2i": {"rows": 12, "source": {"type": "c"}}}},
             {"until_step": 20, "flows": {"sums": {"coefficient": 3}, "t2i": {"time_exponent": 0.5}}}]})";

}  // namespace

TEST_CASE("phases override flows until their step, and the flows as written follow") {
  const FlowPlan flows = plan(kTwoFlows);
  CHECK(flows.at(0)[0].rows == 12);
  CHECK(flows.at(9)[0].source["type"] == "c");
  CHECK(flows.at(10)[0].rows == 6);
  CHECK(flows.at(10)[0].image_noise.time_exponent == 0.5);
  CHECK(flows.at(10)[1].coefficient == 3.0);
  CHECK(flows.at(20)[1].coefficient == 1.0);
  CHECK(flows.at(1000)[0].source["type"] == "a");
  CHECK(flows.all().size() == 3);
}

TEST_CASE("a phase's source has a position of its own, others are shared") {
  const FlowPlan flows = plan(kTwoFlows);
  CHECK(flows.at(0)[0].source_key != flows.at(10)[0].source_key);
  CHECK(flows.at(10)[0].source_key == flows.at(20)[0].source_key);
  CHECK(flows.at(0)[1].source_key == "sums");
}

TEST_CASE("captions are dropped in t2i rows alone, by default in every tenth") {
  const FlowPlan flows = plan(kTwoFlows);
  CHECK(flows.at(0)[0].cond_dropout_prob == 0.1);
  CHECK(flows.at(0)[1].cond_dropout_prob == 0.0);
  CHECK(flows.at(0)[1].text_noise.floor == 0.3);
}

TEST_CASE("mistakes in any phase show at once and name the field") {
  const auto error = [](const std::string& text) -> std::string {
    try {
      plan(text);
    } catch (const Error& found) {
      return found.what();
    }
    return "";
  };
  const std::string flow = R"({"flow": "t2i", "rows": 1, "source": {"type": "a"}})";
  CHECK_THAT(error("{}"), Catch::Contains("dataset.flows"));
  CHECK_THAT(error(R"({"flows": [{"flow": "t3i"}]})"),
             Catch::Contains("dataset.flows.0.flow") && Catch::Contains("t2i"));
  CHECK_THAT(error(R"({"flows": [)" + flow + "," + flow + "]}"), Catch::Contains("second flow named t2i"));
  CHECK_THAT(error(R"({"flows": [{"flow": "t2i", "rows": 1, "coeficient": 1, "source": {}}]})"),
             Catch::Contains("did you mean `coefficient`"));
  CHECK_THAT(
      error(R"({"flows": [)" + flow + R"(], "phases": [{"until_step": 5, "flows": {"mmu": {"rows": 1}}}]})"),
      Catch::Contains("phases.0.flows.mmu"));
  CHECK_THAT(error(R"({"flows": [)" + flow +
                   R"(], "phases": [{"until_step": 5, "flows": {}}, {"until_step": 5, "flows": {}}]})"),
             Catch::Contains("phases.1.until_step"));
  CHECK_THAT(error(R"({"flows": [{"flow": "mmu", "rows": 1, "cond_dropout_prob": 0.1, "source": {}}]})"),
             Catch::Contains("cond_dropout_prob"));
  CHECK_THAT(error(R"({"flows": [{"flow": "lm", "rows": 1, "unlearned_words": ["red"], "source": {}}]})"),
             Catch::Contains("unlearned_words"));
  CHECK_THAT(error(R"({"flows": [{"flow": "t2i", "rows": 1, "masked_words": ["yes"], "source": {}}]})"),
             Catch::Contains("masked_words"));
  CHECK_THAT(error(R"({"flows": [{"flow": "t2i", "rows": 1, "given_reasoning_prob": 0.1, "source": {}}]})"),
             Catch::Contains("given_reasoning_prob"));
}
