// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_batches.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/formats/atomic_file.h"
#include "tests/distributed/ranks.h"

namespace {

using namespace mmada;

/// One token a byte.
class ByteTokenizer final : public Tokenizer {
 public:
  TokenIds encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string decode(const TokenIds& ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::optional<int64_t> token_id(std::string_view) const override { return {}; }
  std::string token(int64_t) const override { return {}; }
  int64_t size() const override { return 128; }
};

/// A file of `count` texts; the line `broken` is not JSON.
std::string texts(const std::string& name, int64_t count, int64_t broken = -1) {
  const std::string path = MMADA_TEST_TMP "/" + name + ".jsonl";
  std::ofstream file(path);
  for (int64_t i = 0; i < count; ++i)
    file << (i == broken ? "{" : R"({"text": "line )" + std::to_string(i) + R"("})") << "\n";
  return path;
}

FlowBatches batches(const std::string& path, int64_t micro_batches = 1, const Group& group = {}) {
  const std::string others = group.rank() == 0 ? texts("flow_batches_others", 60)
                                               : std::string(MMADA_TEST_TMP "/flow_batches_others.jsonl");
  group.barrier();
  const Json json =
      Json::parse(R"({"flows": [{"flow": "lm", "rows": 2, "source": {"type": "jsonl", "shuffle": false}},
                                              {"name": "more", "flow": "lm", "rows": 3, "source": {"type": "jsonl"}}]})");
  Json dataset = json;
  dataset["flows"][0]["source"]["path"] = path, dataset["flows"][1]["source"]["path"] = others;
  Fields fields(dataset, "run.json", "dataset");
  BatchPlan plan{.flows = FlowPlan(fields, "run.json"), .rows = {}, .micro_batches = micro_batches};
  TokenLayout& layout = plan.rows.layout;
  layout.vocab_size = 512, layout.bos = 350, layout.eos = 381, layout.mask = 380;
  layout.image_token_offset = 384, layout.codebook_size = 128;
  plan.rows.text_budget = 16, plan.rows.seed = 5;
  return {std::move(plan), SampleEncoder(std::make_shared<ByteTokenizer>(), nullptr, layout, {}), group};
}

std::vector<TokenIds> inputs(const std::vector<FlowBatches::MicroBatch>& step) {
  std::vector<TokenIds> ids;
  for (const auto& micro : step)
    for (const FlowBatch& batch : micro)
      for (const NoisedRow& row : batch.rows) ids.push_back(row.ids);
  return ids;
}

void restore(FlowBatches& into, const Json& state) {
  Fields positions(state, "state.json", "sources");
  into.restore(positions);
  positions.finish();
}

}  // namespace

TEST_CASE("a step's rows are the same whether they were drawn ahead, or anew from the position before them") {
  const std::string path = texts("flow_batches", 40);
  FlowBatches straight = batches(path, 2);
  std::vector<std::vector<TokenIds>> rows;
  std::vector<Json> positions{straight.state()};
  for (int64_t step = 0; step < 4; ++step) {
    rows.push_back(inputs(straight.take(step)));
    positions.push_back(straight.state());
  }
  CHECK(rows[0].size() == 10);
  CHECK(rows[0] != rows[1]);
  for (size_t step = 0; step < 4; ++step) {
    FlowBatches resumed = batches(path, 2);
    restore(resumed, positions[step]);
    CHECK(resumed.state() == positions[step]);
    CHECK(inputs(resumed.take(static_cast<int64_t>(step))) == rows[step]);
    CHECK(resumed.state() == positions[step + 1]);
  }
}

TEST_CASE("steps of every rank, from where the last ones ended", "[.steps]") {
  const Group group = test::connect();
  const std::string position = MMADA_TEST_TMP "/flow_batches_position.json";
  FlowBatches stream = batches(MMADA_TEST_TMP "/flow_batches_epoch.jsonl", 1, group);
  const int64_t first = std::atoi(std::getenv("MMADA_TEST_FIRST")),
                last = std::atoi(std::getenv("MMADA_TEST_LAST"));
  if (first > 0) restore(stream, read_json_file(position));
  std::ofstream rows(cat(MMADA_TEST_TMP "/flow_batches_rows-", first, "-", group.rank()));
  for (int64_t step = first; step < last; ++step) {
    const auto taken = stream.take(step);
    for (const FlowBatch& batch : taken.front())
      for (const NoisedRow& row : batch.rows) {
        rows << batch.flow->name << ": ";
        for (const int64_t id : row.clean)
          if (id < 128) rows << static_cast<char>(id);
        rows << "\n";
      }
  }
  group.barrier();
  if (group.rank() == 0) write_file(position, stream.state().dump());
}

TEST_CASE("each sample comes once in an epoch, whatever numbers of processes read its parts") {
  texts("flow_batches_epoch", 40);  // an epoch of both flows is 20 steps
  std::multiset<std::string> found, expected;
  const std::vector<std::pair<int, int>> parts{{1, 7}, {4, 14}, {2, 20}};  // processes, and until which step
  int first = 0;
  for (const auto& [processes, last] : parts) {
    REQUIRE(test::run_ranks("[.steps]", processes,
                            {{"MMADA_TEST_FIRST", std::to_string(first)},
                             {"MMADA_TEST_LAST", std::to_string(last)}}) == 0);
    for (int rank = 0; rank < processes; ++rank) {
      std::ifstream rows(cat(MMADA_TEST_TMP "/flow_batches_rows-", first, "-", rank));
      for (std::string line; std::getline(rows, line);) found.insert(line);
    }
    first = last;
  }
  for (int i = 0; i < 40; ++i) expected.insert(cat("lm: line ", i));
  for (int i = 0; i < 60; ++i) expected.insert(cat("more: line ", i));
  CHECK(found == expected);
}

TEST_CASE("going back forgets what was drawn ahead") {
  FlowBatches stream = batches(texts("flow_batches_back", 40));
  const Json beginning = stream.state();
  const auto first = inputs(stream.take(0));
  restore(stream, beginning);
  CHECK(inputs(stream.take(0)) == first);
}

TEST_CASE("a mistake in the data comes out in the step that reads it, not in the one before") {
  FlowBatches stream = batches(texts("flow_batches_broken", 40, 4));  // its lines 4 and 5 are step 2's
  stream.take(0);
  stream.take(1);
  const Json position = stream.state();
  CHECK_THROWS_WITH(stream.take(2), Catch::Contains("flow_batches_broken.jsonl:5"));
  CHECK(stream.state() == position);
}

TEST_CASE("rows are taken in the order of the steps") {
  FlowBatches stream = batches(texts("flow_batches_order", 40));
  stream.take(0);
  CHECK_THROWS_WITH(stream.take(5),
                    Catch::Contains("found the rows of step 1 drawn, expected those of step 5"));
}
