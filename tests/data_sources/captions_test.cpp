// SPDX-License-Identifier: MIT
#include "mmada/data/captions.h"

#include <set>

#include "mmada/formats/atomic_file.h"
#include "tests/formats/expect_error.h"

using namespace mmada;

namespace {

CaptionRules rules(const Json& options, uint64_t seed = 3) {
  Fields fields(options, "rules");
  CaptionRules made(fields, seed);
  fields.finish();
  return made;
}

std::string cleaned(const std::string& text, uint64_t seed = 0) {
  Rng rng(seed, "test");
  return replace_person_tokens(text, rng);
}

}  // namespace

TEST_CASE("one person token becomes one of three words, each a third of the time") {
  std::map<std::string, int> counts;
  for (uint64_t seed = 0; seed < 3000; ++seed) ++counts[cleaned("<person> runs", seed)];
  CHECK(counts.size() == 3);
  for (const std::string words : {"a person runs", "someone runs", "somebody runs"})
    CHECK(std::abs(counts[words] - 1000) < 120);
}

TEST_CASE("runs of person tokens become people") {
  CHECK(cleaned("<person><person> at sea") == "people at sea");
  CHECK(cleaned("with <person>, <person> and <person>.") == "with people.");
  CHECK(cleaned("<person> ,and, <person>and<person>'s dog") == "people's dog");
  CHECK(cleaned("at<person><person>home") == "at people home");
  const std::string two = cleaned("<person> or <person>, not <persona>");
  CHECK_THAT(two,
             Catch::Contains(" or ") && Catch::Contains(", not <persona>") && !Catch::Contains("people"));
  CHECK(cleaned("nobody here and there") == "nobody here and there");
  CHECK(cleaned("<person><person> and") == "people and");
}

TEST_CASE("a first sentence ends at the first mark before a blank") {
  CHECK(first_sentence(" It is 3.5 m high. Then more. ") == "It is 3.5 m high.");
  CHECK(first_sentence("Why? Because.") == "Why?");
  CHECK(first_sentence("no mark at all") == "no mark at all");
  CHECK(first_sentence("One.\nTwo.") == "One.");
  CHECK(first_sentence("").empty());
}

TEST_CASE("openings that say nothing are taken off once and only in front") {
  CHECK(without_caption_prefix("The image features a cat") == "a cat");
  CHECK(without_caption_prefix("In this image, we see two dogs") == "two dogs");
  CHECK(without_caption_prefix("In this image, two dogs") == "two dogs");
  CHECK(without_caption_prefix("This is This is") == "This is");
  CHECK(without_caption_prefix("A cat. The image features it") == "A cat. The image features it");
}

TEST_CASE("for generation half of the captions are their first sentence, as a function of seed and number") {
  const auto generation = rules({{"use", "generation"}});
  int cut = 0;
  for (uint64_t n = 0; n < 1000; ++n) {
    const std::string text = generation.apply({"The image is red. It has a star."}, n);
    CHECK((text == "red." || text == "red. It has a star."));
    CHECK(generation.apply({"The image is red. It has a star."}, n) == text);
    cut += text == "red.";
  }
  CHECK(std::abs(cut - 500) < 60);
}

TEST_CASE("for understanding a caption answers a question drawn from the list") {
  const std::string folder = testing::fresh_folder("captions_questions");
  write_file(folder + "/q.json", R"(["What is here?", "Describe it."])");
  const auto understanding = rules({{"use", "understanding"}, {"questions", folder + "/q.json"}});
  std::set<std::string> texts;
  for (uint64_t n = 0; n < 40; ++n) texts.insert(understanding.apply({"a cat"}, n));
  CHECK(texts == std::set<std::string>{"<|start_header_id|>user<|end_header_id|>\nWhat is here?<|eot_id|>"
                                       "<|start_header_id|>assistant<|end_header_id|>\na cat",
                                       "<|start_header_id|>user<|end_header_id|>\nDescribe it.<|eot_id|>"
                                       "<|start_header_id|>assistant<|end_header_id|>\na cat"});
  CHECK_THAT(rules({{"use", "understanding"}, {"terminator", "literal"}}).apply({"a cat"}, 0),
             Catch::Contains("Please describe this image in detail.<eot_id><|start"));
  write_file(folder + "/bad.json", R"(["a", 5])");
  testing::expect_error(
      [&] {
        rules({{"questions", folder + "/bad.json"}});
      },
      {"bad.json", "list of one or more strings"});
  testing::expect_error([] { rules({{"use", "plane"}}); }, {"did you mean \"plain\""});
}

TEST_CASE("captions apart from their pictures are found in folders and in JSON") {
  const std::string folder = testing::fresh_folder("captions_map");
  std::filesystem::create_directories(folder + "/shard-1");
  write_file(folder + "/sa_1.txt", "first line\nsecond line\n");
  write_file(folder + "/2.caption", "two\nlines\n");
  write_file(folder + "/shard-1/3.caption", "of the shard");
  write_file(folder + "/map.json", R"({"a": "one", "b": ["two", "three"]})");
  using List = std::vector<std::string>;
  const CaptionMap files(folder), map(folder + "/map.json");
  CHECK(files.find("sa_1") == List{"first line"});
  CHECK(files.find("2") == List{"two\nlines"});
  CHECK(files.find("3", "shard-1") == List{"of the shard"});
  CHECK(files.find("3").empty());
  CHECK(map.find("a") == List{"one"});
  CHECK(map.find("b") == List{"two", "three"});
  CHECK(map.find("c").empty());
  std::set<std::string> drawn;
  for (uint64_t n = 0; n < 20; ++n) drawn.insert(rules(Json::object()).apply(map.find("b"), n));
  CHECK(drawn.size() == 2);
  write_file(folder + "/bad.json", R"({"a": []})");
  testing::expect_error([&] { CaptionMap(folder + "/bad.json"); }, {"bad.json: key \"a\"", "found a list"});
  write_file(folder + "/bytes.txt", "\xff");
  testing::expect_error([&] { files.find("bytes"); }, {"bytes.txt", "not UTF-8"});
}

TEST_CASE("a table of reasoning holds the conversations of pictures named with their ending or without") {
  const std::string path = testing::fresh_folder("captions_table") + "/t.csv";
  write_file(path, "image,question,solution\n1.png,q1,s1\na/2.jpg,q2,s2\n1.png,q3,s3\n3,q4,s4\n");
  using List = std::vector<std::string>;
  const CaptionMap map(path), literal(path, TurnTerminator::kLiteral);
  CHECK(map.is_table());
  CHECK(map.find("1") == List{reasoning_text("q1", "s1"), reasoning_text("q3", "s3")});
  CHECK(map.find("some/folder/1") == map.find("1"));
  CHECK(map.find("a/2") == List{reasoning_text("q2", "s2")});
  CHECK(map.find("2").empty());
  CHECK(map.find("3").size() == 1);
  CHECK(literal.find("1").at(0) == reasoning_text("q1", "s1", TurnTerminator::kLiteral));
}
