// SPDX-License-Identifier: MIT
#include "mmada/data/jsonl.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "mmada/data/source.h"
#include "mmada/formats/atomic_file.h"

using namespace mmada;
using Catch::Matchers::Contains;

namespace {

std::string written(const std::string& name, const std::string& text) {
  const std::string folder = std::string(MMADA_TEST_TMP) + "/jsonl";
  std::filesystem::create_directories(folder);
  write_file(folder + "/" + name, text);
  return folder + "/" + name;
}

std::string numbered(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += cat("{\"text\":\"line ", i, "\"}\n");
  return text;
}

std::vector<std::string> texts(SampleSource& source, int count) {
  std::vector<std::string> list;
  for (int i = 0; i < count; ++i) list.push_back(source.next().text);
  return list;
}

std::unique_ptr<SampleSource> open(const std::string& path, Json extra = Json::object(), uint64_t seed = 4) {
  extra["path"] = path;
  return make_jsonl_source(extra, "test", seed);
}

}  // namespace

TEST_CASE("an epoch visits every line once, and epochs and seeds differ in order") {
  const auto path = written("epochs.jsonl", numbered(50));
  auto source = open(path), same = open(path), other = open(path, Json::object(), 5);
  const auto first = texts(*source, 50), second = texts(*source, 50);
  CHECK(std::set<std::string>(first.begin(), first.end()).size() == 50);
  CHECK(std::set<std::string>(second.begin(), second.end()).size() == 50);
  CHECK(first != second);
  CHECK(texts(*same, 50) == first);
  CHECK(texts(*other, 50) != first);
  CHECK(texts(*open(path, {{"shuffle", false}}), 3) ==
        std::vector<std::string>{"line 0", "line 1", "line 2"});
}

TEST_CASE("a jsonl source restored at any position goes on exactly") {
  const auto path = written("resume.jsonl", numbered(7));
  for (int position = 0; position < 16; ++position) {
    auto straight = open(path);
    texts(*straight, position);
    auto resumed = open(path);
    resumed->restore(parse_json(straight->state().dump(), "state"));
    CHECK(texts(*straight, 20) == texts(*resumed, 20));
  }
}

TEST_CASE("a saved position is refused when the file changed") {
  const auto state = open(written("changed.jsonl", numbered(7)))->state();
  CHECK_THROWS_WITH(open(written("changed.jsonl", numbered(8)))->restore(state), Contains("found 8 lines"));
}

TEST_CASE("conversations and pictures come out of the lines, pictures relative to the file") {
  Image image{.width = 3, .height = 2, .channels = 3, .pixels = std::vector<uint8_t>(18, 77)};
  written("x", "");
  write_image(std::string(MMADA_TEST_TMP) + "/jsonl/grey.png", image);
  const auto path = written(
      "mixed.jsonl", "\n  \n{\"image\":\"grey.png\",\"question\":\"how?\",\"reply\":\"so\",\"note\":1}\r\n");
  const Sample sample = open(path, {{"format", "question"}})->next();
  CHECK(sample.image.pixels == image.pixels);
  CHECK(sample.text ==
        "<|start_header_id|>user<|end_header_id|>\nhow?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\nso<|eot_id|>");
  CHECK(open(path, {{"format", "question"}, {"images", false}})->next().image.pixels.empty());
  const auto turns = written(
      "turns.jsonl", R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  CHECK_THAT(open(turns, {{"format", "messages"}})->next().text, Contains("\na<|eot_id|>"));
}

TEST_CASE("errors name the file and the line") {
  const auto broken = written("broken.jsonl", "{\"text\":\"a\"}\n\n{\"text\":}\n");
  const auto fails = [](const std::string& path, const Json& options, const std::string& message) {
    auto source = open(path, options);
    CHECK_THROWS_WITH(texts(*source, 3), Contains(message));
  };
  const Json in_order = {{"shuffle", false}};
  fails(broken, in_order, "broken.jsonl:3: not valid JSON");
  fails(written("list.jsonl", "[1]\n"), in_order, "list.jsonl:1: found a list, expected a JSON object");
  fails(written("none.jsonl", "{\"txt\":\"a\"}"), in_order, "none.jsonl:1: field `text`: found nothing");
  fails(written("type.jsonl", "{\"text\":5}"), in_order,
        "type.jsonl:1: field `text`: found 5, expected a string");
  fails(written("gone.jsonl", "{\"text\":\"a\",\"image\":\"gone.png\"}"), in_order, "gone.jsonl:1: ");
  fails(written("role.jsonl", R"({"messages":[{"role":"owner","content":"a"}]})"), {{"format", "messages"}},
        "role.jsonl:1: ");
  CHECK_THROWS_WITH(open(written("empty.jsonl", "\n\n")), Contains("empty.jsonl: found no line"));
  CHECK_THROWS_WITH(open("/nowhere/x.jsonl"), Contains("/nowhere/x.jsonl"));
}

TEST_CASE("a mixture draws by weight, resumes exactly and keeps its sources apart") {
  const Json options = {{"type", "mixture"},
                        {"sources",
                         {{{"weight", 3}, {"source", {{"type", "shapes"}, {"task", "arithmetic"}}}},
                          {{"weight", 1}, {"source", {{"type", "shapes"}, {"task", "caption"}}}}}}};
  auto source = make_source(options, "test", 6);
  int captions = 0;
  for (const auto& text : texts(*source, 2000)) captions += text.starts_with("a ");
  CHECK(std::abs(captions - 500) < 80);
  auto resumed = make_source(options, "test", 6);
  resumed->restore(parse_json(source->state().dump(), "state"));
  CHECK(texts(*source, 30) == texts(*resumed, 30));
  const Json twins = {{"type", "mixture"},
                      {"sources",
                       {{{"source", {{"type", "shapes"}, {"task", "caption"}}}},
                        {{"source", {{"type", "shapes"}, {"task", "caption"}}}}}}};
  const auto list = texts(*make_source(twins, "test", 6), 8);
  CHECK(std::set<std::string>(list.begin(), list.end()).size() > 6);
  CHECK_THROWS_WITH(make_source({{"type", "shape"}}, "c", 0), Contains("did you mean \"shapes\""));
  CHECK_THROWS_WITH(resumed->restore({{"index", 1}, {"sources", Json::array()}}),
                    Contains("one for each source"));
}

TEST_CASE("prompts come with what their rewards want to know, and a bad line is named") {
  const Json prompts = {{"format", "prompt"}, {"shuffle", false}};
  auto source =
      open(written("prompts.jsonl",
                   "{\"prompt\":\"what is 1+2?\",\"answer\":3,\"metadata\":{\"level\":1},\"id\":7}\n\n"
                   "{\"prompt\":\"a red circle\"}\n{\"prompt\":\"how many?\",\"answer\":\"two\"}\n"),
           prompts);
  const Sample sum = source->next(), caption = source->next(), question = source->next();
  CHECK(sum.text == "what is 1+2?");
  CHECK(sum.answer == "3");
  CHECK(sum.metadata == Json{{"level", 1}});
  CHECK(caption.answer.empty());
  CHECK(caption.metadata.is_null());
  CHECK(question.answer == "two");
  const auto error_of = [&](const std::string& line, const Json& required = Json::array()) {
    Json options = prompts;
    options["required"] = required;
    auto bad =
        open(written("bad_prompts.jsonl", "{\"prompt\":\"good\",\"answer\":1}\n" + line + "\n"), options);
    bad->next();
    try {
      bad->next();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(error_of("{\"question\":\"?\"}"), Contains("bad_prompts.jsonl:2: field `prompt`"));
  CHECK_THAT(error_of("{\"prompt\":\"\"}"), Contains(":2: field `prompt`: found nothing"));
  CHECK_THAT(error_of("{\"prompt\":\"a\",\"answer\":[1]}"),
             Contains(":2: field `answer`") && Contains("a string or a number"));
  CHECK_THAT(error_of("{\"prompt\":\"a\",\"metadata\":3}"),
             Contains(":2: field `metadata`: found 3, expected an object"));
  CHECK_THAT(error_of("{\"prompt\":\"a\"}", {"answer"}), Contains(":2: field `answer`: found nothing"));
  CHECK(error_of("{\"prompt\":\"a\",\"answer\":2}", {"answer"}).empty());
}
