// SPDX-License-Identifier: MIT
#include "mmada/data/shapes_source.h"

#include <catch2/catch.hpp>
#include <sstream>

using namespace mmada;
using Catch::Matchers::Contains;

namespace {

uint64_t fnv1a(const std::string& bytes, uint64_t hash = 0xcbf29ce484222325ull) {
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return hash;
}

uint64_t fingerprint(const std::string& task, int count, const std::string& split = "train") {
  auto source = make_shapes_source({{"task", task}, {"split", split}}, "test", 11);
  uint64_t hash = 0xcbf29ce484222325ull;
  for (int i = 0; i < count; ++i) {
    const Sample sample = source->next();
    hash =
        fnv1a(std::string(sample.image.pixels.begin(), sample.image.pixels.end()), fnv1a(sample.text, hash));
  }
  return hash;
}

}  // namespace

TEST_CASE("shapes samples are the same bytes everywhere") {
  CHECK(fingerprint("caption", 50) == 0xdd0c828564ec342aull);
  CHECK(fingerprint("question", 50, "heldout") == 0xe16e0eaeeb70bc7eull);
  CHECK(fingerprint("arithmetic", 50) == 0x2367ec0072c9b7dull);
  CHECK(fingerprint("picture", 50) == 0x12850f475ab889a1ull);
}

TEST_CASE("with variations every other picture of a question source is exact, and every caption's is") {
  const auto pictures = [](const char* task, double wobble) {
    auto source = make_shapes_source({{"task", task}, {"wobble", wobble}}, "test", 11);
    std::vector<std::vector<uint8_t>> made;
    for (int i = 0; i < 20; ++i) made.push_back(source->next().image.pixels);
    return made;
  };
  CHECK(pictures("caption", 0.2) == pictures("caption", 0.0));
  const auto exact = pictures("question", 0.0), wobbling = pictures("question", 0.2);
  for (size_t i = 0; i < exact.size(); ++i) CHECK((exact[i] == wobbling[i]) == (i % 2 == 0));
}

TEST_CASE("lookups are the questions that have reasoning, without their pictures") {
  const Json options = {{"task", "lookup"}, {"question_weights", {{"describe", 5}, {"color", 1}}}};
  auto lookups = make_shapes_source(options, "test", 11);
  for (int i = 0; i < 50; ++i) {
    const Sample sample = lookups->next();
    CHECK(sample.image.pixels.empty());
    CHECK_THAT(sample.text, Contains("<think> ") && Contains(" </think> "));
  }
  CHECK_THROWS_WITH(
      make_shapes_source({{"task", "lookup"}, {"question_weights", {{"describe", 5}}}}, "test", 11),
      Contains("question_weights"));
}

TEST_CASE("a request to reason and draw names the shapes, and its reasoning is the caption of its picture") {
  auto captions = make_shapes_source({{"task", "caption"}}, "test", 11),
       requests = make_shapes_source({{"task", "r2i"}}, "test", 11);
  for (int i = 0; i < 30; ++i) {
    const Sample caption = captions->next(), request = requests->next();
    CHECK(request.image.pixels == caption.image.pixels);
    CHECK_THAT(request.text, Catch::EndsWith("<|end_header_id|>\n<think>" + caption.text + "</think>"));
    std::istringstream words(caption.text);  // "a SIZE COLOUR SHAPE at ROW COLUMN and a ..."
    std::string names, word, last;
    for (bool in_place = false; words >> word; last = word) {
      if (word == "at") in_place = true;
      if (word == "and") in_place = false;
      if (!in_place && last != "a") names += (names.empty() ? "" : " ") + word;
    }
    CHECK_THAT(request.text, Contains("image here\n" + names + "<|eot_id|>"));
  }
}

TEST_CASE("mixed shapes need two colours") {
  const Json options = {
      {"task", "question"}, {"mixed", 0.5}, {"colors", {{"red", {220, 40, 40}}}}, {"pair_modulus", 0}};
  CHECK_THROWS_WITH(make_shapes_source(options, "test", 11), Contains("mixed"));
}

TEST_CASE("a shapes source restored from its state goes on exactly where it stood") {
  for (const std::string task :
       {"caption", "question", "arithmetic", "picture", "lookup", "matches", "r2i"}) {
    auto straight = make_shapes_source({{"task", task}}, "test", 3);
    for (int i = 0; i < 7; ++i) straight->next();
    auto resumed = make_shapes_source({{"task", task}}, "test", 3);
    resumed->restore(parse_json(straight->state().dump(), "state"));
    for (int i = 0; i < 5; ++i) {
      const Sample a = straight->next(), b = resumed->next();
      CHECK(a.text == b.text);
      CHECK(a.image.pixels == b.image.pixels);
    }
  }
}

TEST_CASE("the stages of a curriculum hold for their sample indices only") {
  const Json json = {
      {"task", "caption"},
      {"count_weights", {0, 0, 1}},
      {"stages", {{{"until", 5}, {"count_weights", {1}}}, {{"until", 9}, {"count_weights", {0, 1}}}}}};
  auto source = make_shapes_source(json, "test", 1);
  for (int i = 0; i < 12; ++i) {
    const std::string text = source->next().text;
    const auto count =
        1 + (text.find(" and ") != std::string::npos) + (text.find(" and ") != text.rfind(" and "));
    CHECK(count == (i < 5 ? 1 : i < 9 ? 2 : 3));
  }
}

TEST_CASE("contradictory options are errors that name the field") {
  const auto make = [](const Json& json) { make_shapes_source(json, "c.json", 0); };
  CHECK_THROWS_WITH(make({{"task", "captions"}}), Contains("did you mean \"caption\""));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"row", 2}}), Contains("did you mean `rows`"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"sizes", {{"huge", 40}}}}), Contains("field `sizes`"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"sizes", {{"b", 9}, {"a", 5}}}}),
                    Contains("from small to large"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"pair_modulus", 1}}), Contains("field `pair_modulus`"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"count_weights", {0, 0}}}), Contains("above 0"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"count_weights", {1, 1, 1, 1, 1}}}),
                    Contains("one shape a cell"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"shapes", {"hexagon"}}}), Contains("hexagon"));
  CHECK_THROWS_WITH(make({{"task", "caption"}, {"colors", {{"red", {1, 2}}}}}),
                    Contains("red, green and blue"));
}

TEST_CASE("prompts are what training asks, without the replies, and know their answers") {
  for (const char* task : {"arithmetic", "question", "caption"}) {
    auto trained = make_shapes_source({{"task", task}}, "test", 3);
    auto asked = make_shapes_source({{"task", task}, {"prompts", true}}, "test", 3);
    for (int i = 0; i < 20; ++i) {
      const Sample lesson = trained->next(), prompt = asked->next();
      if (std::string(task) == "caption") {
        CHECK(prompt.text == lesson.text);
        CHECK(prompt.image.pixels.empty());
        const ShapesOptions options;
        const Scene scene = parse_scene(options, prompt.metadata.at("scene"), "test");
        CHECK(scene_caption(options, scene) == prompt.text);
        continue;
      }
      CHECK_THAT(lesson.text, Contains(prompt.text));
      CHECK_THAT(lesson.text, Contains(prompt.answer));
      CHECK_FALSE(prompt.answer.empty());
      CHECK(prompt.text.find("<") == std::string::npos);
      if (std::string(task) == "question") CHECK(prompt.metadata.contains("kind"));
    }
  }
  CHECK_THROWS_WITH(make_shapes_source({{"task", "r2i"}, {"prompts", true}}, "test", 3),
                    Contains("field `prompts`") && Contains("r2i"));
}
