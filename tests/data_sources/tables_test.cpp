// SPDX-License-Identifier: MIT
#include "mmada/data/tables.h"

#include <algorithm>
#include <set>

#include "mmada/data/conversation.h"
#include "mmada/data/source.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/vision/transforms.h"
#include "tests/data_sources/draw.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

/// A folder with pictures a.png and b.png of values 1 and 2.
std::string with_pictures(const std::string& name) {
  const std::string folder = fresh_folder(name);
  write_image(folder + "/a.png", {.width = 1, .height = 1, .channels = 3, .pixels = {1, 1, 1}});
  write_image(folder + "/b.png", {.width = 1, .height = 1, .channels = 3, .pixels = {2, 2, 2}});
  return folder;
}

std::unique_ptr<SampleSource> open(const std::string& type, const std::string& path, const std::string& text,
                                   Json extra = Json::object()) {
  write_file(path, text);
  extra["type"] = type;
  extra["path"] = path;
  return make_source(extra, "test", 7);
}

using mmada::test::seen;

std::string turn(const std::string& from, const std::string& value) {
  return Json({{"from", from}, {"value", value}}).dump();
}

}  // namespace

TEST_CASE("a random number of leading turns of a visual conversation is kept, its marks stripped") {
  const std::string folder = with_pictures("vqa_json");
  const std::string text =
      R"([{"id": 5, "image": "a.png", "conversations": [)" + turn("human", "<image>\nWhat?") + "," +
      turn("gpt", "A cat.") + "," + turn("human", "Where?\n<image>") + "," + turn("gpt", "There.") +
      R"(]}, {"image": "b.png", "conversations": [)" + turn("human", "x") + "," + turn("gpt", "y") + "]}]";
  auto source = open("vqa_json", folder + "/vqa.json", text);
  const std::string one = conversation_text({{"user", "What?"}, {"assistant", "A cat."}});
  const std::string two = conversation_text(
      {{"user", "What?"}, {"assistant", "A cat."}, {"user", "Where?"}, {"assistant", "There."}});
  CHECK(one ==
        "<|start_header_id|>user<|end_header_id|>\nWhat?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\nA cat.<|eot_id|>");
  const auto texts = seen(*source, 60);
  CHECK(texts.at(1) == std::set<std::string>{one, two});
  CHECK(texts.at(2) == std::set<std::string>{conversation_text("x", "y")});
  CHECK(seen(*open("vqa_json", folder + "/vqa.json", text, {{"turns", "all"}}), 20).at(1) ==
        std::set<std::string>{two});
  auto again = open("vqa_json", folder + "/vqa.json", text),
       resumed = open("vqa_json", folder + "/vqa.json", text);
  for (int i = 0; i < 7; ++i) again->next();
  resumed->restore(again->state());
  for (int i = 0; i < 20; ++i) CHECK(again->next().text == resumed->next().text);
}

TEST_CASE("a source's own fit goes with each of its pictures, however they are drawn") {
  const std::string folder = with_pictures("fits");
  const std::string item =
      R"([{"image": "a.png", "conversations": [)" + turn("human", "x") + "," + turn("gpt", "y") + "]}]";
  CHECK_FALSE(open("vqa_json", folder + "/vqa.json", item)->next().fit.has_value());
  for (const Json& workers : {Json{{"fit", "pad"}}, Json{{"fit", "pad"}, {"workers", 2}}}) {
    auto source = open("vqa_json", folder + "/vqa.json", item, workers);
    CHECK((source->next().fit == Fit::kPad));
    source->skip(3);
    CHECK((source->next().fit == Fit::kPad));
    const Json state = source->state();
    CHECK(state.at("epoch") == 5);
    source->restore(state);
    const PendingSample later = source->defer();
    CHECK((later()->fit == Fit::kPad));
  }
  expect_error(
      [&] {
        open("vqa_json", folder + "/vqa.json", item, {{"fit", "stretch"}});
      },
      {"test: field `fit`", "\"stretch\"", "\"squash\""});
}

TEST_CASE("a mixture's fit holds for those of its sources that have none") {
  const Json shapes = {{"type", "shapes"}, {"task", "caption"}};
  Json padded = shapes;
  padded["fit"] = "pad";
  const auto fits = [&](const Json& extra) {
    Json mixture = {{"type", "mixture"}};
    mixture["sources"] = {Json{{"source", shapes}}, Json{{"source", padded}}};
    mixture.update(extra);
    const auto source = make_source(mixture, "test", 7);
    std::string drawn;
    for (int i = 0; i < 40; ++i) {
      const auto fit = source->next().fit;
      drawn += !fit ? '-' : *fit == Fit::kPad ? 'p' : *fit == Fit::kSquash ? 's' : 'c';
    }
    return drawn;
  };
  std::string expected = fits(Json::object());
  CHECK(expected.find_first_not_of("-p") == std::string::npos);
  REQUIRE((expected.find('-') != std::string::npos && expected.find('p') != std::string::npos));
  std::ranges::replace(expected, '-', 's');
  CHECK(fits({{"fit", "squash"}}) == expected);
}

TEST_CASE("a source without pictures takes no fit") {
  expect_error(
      [] {
        make_source({{"type", "parquet"}, {"path", "x.parquet"}, {"fit", "pad"}}, "test", 7);
      },
      {"test: field `fit`", "\"pad\"", "no pictures"});
}

TEST_CASE("mistakes in visual conversations are named with their item") {
  const std::string folder = with_pictures("vqa_json_bad");
  const auto fails = [&](const std::string& text, std::initializer_list<std::string> parts) {
    expect_error([&] { open("vqa_json", folder + "/vqa.json", text)->next(); }, parts);
  };
  const std::string good = "[" + turn("human", "x") + "," + turn("gpt", "y") + "]";
  fails("{}", {"vqa.json", "expected a list of"});
  fails(R"([{"conversations": )" + good + "}]", {"vqa.json: item 0: field `image`"});
  fails(R"([{"image": "a.png", "conversations": [)" + turn("human", "x") + "]}]",
        {"item 0: field `conversations`: found 1 turns"});
  fails(R"([{"image": "a.png", "conversations": [)" + turn("gpt", "x") + "," + turn("gpt", "y") + "]}]",
        {"item 0: field `conversations.from`", "human"});
  fails(R"([{"image": "gone.png", "conversations": )" + good + "}]", {"gone.png"});
  for (const std::string name : {"../a.png", "/etc/a.png", "x/../../a.png", ""})
    fails(R"([{"image": ")" + name + R"(", "conversations": )" + good + "}]",
          {"item 0", "a name inside the folder"});
}

TEST_CASE("a picture's reasoning is drawn from its rows of a table") {
  const std::string folder = with_pictures("cot_csv");
  const std::string table =
      "id,image,question,solution\n1,a,\"Why, "
      "then?\",\"<think>so</think>\n\"\"yes\"\"\"\n2,b,q,s\n3,a,q2,s2\n";
  auto source = open("cot_csv", folder + "/t.csv", table, {{"extension", ".png"}});
  const auto texts = seen(*source, 60);
  CHECK(texts.at(1) == std::set<std::string>{reasoning_text("Why, then?", "<think>so</think>\n\"yes\""),
                                             reasoning_text("q2", "s2")});
  CHECK(texts.at(2) == std::set<std::string>{reasoning_text("q", "s")});
  std::filesystem::create_directories(folder + "/elsewhere");
  CHECK_THAT(open("cot_csv", folder + "/elsewhere/t.csv", table,
                  {{"extension", ".png"}, {"images", folder}, {"terminator", "literal"}})
                 ->next()
                 .text,
             Catch::Contains("<eot_id>"));
  expect_error([&] { open("cot_csv", folder + "/t.csv", "image,question\na,b\n"); },
               {"t.csv:1", "no column \"solution\""});
  expect_error([&] { open("cot_csv", folder + "/t.csv", "image,question,solution\n"); },
               {"t.csv: found 1 rows"});
  expect_error([&] { open("cot_csv", folder + "/t.csv", "image,question,solution\n../a,b,c\n"); },
               {"t.csv:2", "a name inside the folder"});
}
