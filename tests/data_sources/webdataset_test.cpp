// SPDX-License-Identifier: MIT
#include "mmada/data/webdataset.h"

#include <map>
#include <set>

#include "mmada/data/source.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/text/chat.h"
#include "tests/data_sources/draw.h"
#include "tests/formats/expect_error.h"
#include "tests/support/tar_writer.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;
using mmada::testing::tar_end;
using mmada::testing::tar_member;

namespace {

std::string picture(uint8_t value) {
  return encode_png({.width = 1, .height = 1, .channels = 3, .pixels = {value, value, value}});
}
std::string pair(int i) {
  const std::string key = cat("k", i);
  return tar_member(key + ".png", picture(static_cast<uint8_t>(i))) +
         tar_member(key + ".txt", cat("text ", i));
}

/// Shards s-0.tar.. of `each` samples, numbered through; gives the pattern of their paths.
std::string shards(const std::string& folder, int count, int each) {
  for (int s = 0; s < count; ++s) {
    std::string tar;
    for (int i = 0; i < each; ++i) tar += pair(s * each + i);
    write_file(cat(folder, "/s-", s, ".tar"), tar + tar_end());
  }
  return cat(folder, "/s-{0..", count - 1, "}.tar");
}

std::unique_ptr<SampleSource> open(const std::string& path, Json extra = Json::object(), uint64_t seed = 4) {
  extra["type"] = "webdataset";
  extra["path"] = path;
  return make_source(extra, "test", seed);
}
/// A source of one shard with these members.
std::unique_ptr<SampleSource> open_members(const std::string& members, Json extra = Json::object()) {
  const std::string path = fresh_folder("webdataset_members") + "/x.tar";
  write_file(path, members + tar_end());
  return open(path, std::move(extra));
}

std::vector<std::string> texts(SampleSource& source, int count) {
  std::vector<std::string> list;
  for (int i = 0; i < count; ++i) list.push_back(source.next().text);
  return list;
}
std::set<std::string> unordered(const std::vector<std::string>& list) { return {list.begin(), list.end()}; }

}  // namespace

TEST_CASE("an epoch of shards yields every sample once, mixed across shards, in an order of seed and epoch") {
  const auto path = shards(fresh_folder("webdataset_epochs"), 4, 10);
  const Json options = {{"buffer", 16}};
  auto source = open(path, options);
  const auto first = texts(*source, 40), second = texts(*source, 40);
  CHECK(unordered(first).size() == 40);
  CHECK(unordered(second) == unordered(first));
  CHECK(first != second);
  CHECK(texts(*open(path, options), 40) == first);
  CHECK(texts(*open(path, options, 5), 40) != first);
  std::set<int> early;  // shards among the first ten samples: a buffer of 16 reaches into the second
  for (int i = 0; i < 10; ++i) early.insert(std::stoi(first[i].substr(5)) / 10);
  CHECK(early.size() > 1);
}

TEST_CASE("without shuffling samples come in the order of the files") {
  auto source = open(shards(fresh_folder("webdataset_order"), 2, 3), {{"shuffle", false}});
  CHECK(texts(*source, 7) ==
        std::vector<std::string>{"text 0", "text 1", "text 2", "text 3", "text 4", "text 5", "text 0"});
}

TEST_CASE("pictures stay with their texts") {
  auto source = open(shards(fresh_folder("webdataset_pairs"), 3, 5), {{"buffer", 7}});
  for (int i = 0; i < 30; ++i) {
    const Sample sample = source->next();
    CHECK(cat("text ", static_cast<int>(sample.image.pixels[0])) == sample.text);
  }
}

TEST_CASE("a webdataset source restored at any position goes on exactly") {
  const auto path = shards(fresh_folder("webdataset_resume"), 3, 4);
  for (const int buffer : {1, 5, 100}) {
    for (int position = 0; position < 27; ++position) {
      INFO("buffer " << buffer << ", position " << position);
      auto straight = open(path, {{"buffer", buffer}});
      texts(*straight, position);
      const Json state = parse_json(straight->state().dump(), "state");
      auto resumed = open(path, {{"buffer", buffer}});
      texts(*resumed, 5);  // whatever it did before
      resumed->restore(state);
      CHECK(resumed->state() == state);
      CHECK(texts(*straight, 14) == texts(*resumed, 14));
      CHECK(straight->state() == resumed->state());
    }
  }
}

TEST_CASE("skipping equals drawing and throwing away") {
  const auto path = shards(fresh_folder("webdataset_skip"), 3, 4);
  for (const std::string on_error : {"stop", "skip"}) {
    auto drawn = open(path, {{"buffer", 5}, {"on_error", on_error}}),
         skipped = open(path, {{"buffer", 5}, {"on_error", on_error}});
    texts(*drawn, 17);
    skipped->skip(17);
    CHECK(texts(*drawn, 9) == texts(*skipped, 9));
  }
}

TEST_CASE("a saved position is refused when the shards changed") {
  const std::string folder = fresh_folder("webdataset_changed");
  const auto path = shards(folder, 2, 4);
  auto source = open(path, {{"buffer", 3}});
  texts(*source, 2);
  const Json state = source->state();
  shards(folder, 2, 5);
  expect_error([&] { open(path)->restore(state); },
               {"s-0.tar", "found 2 shards of", "that it was saved for"});
  shards(folder, 2, 4);
  Json bad = state;
  bad["buffer"] = {7, 0};
  expect_error([&] { open(path)->restore(bad); }, {"`buffer`", "found shard 7"});
  bad["buffer"] = {0};
  expect_error([&] { open(path)->restore(bad); }, {"`buffer`", "pairs"});
}

TEST_CASE("texts come from txt, text, caption or a key of json, in this order") {
  const auto text_of = [](const std::string& members, const Json& extra = Json::object()) {
    return open_members(tar_member("a/b.x.jpg", "no") + tar_member("a/c.PNG", picture(1)) + members, extra)
        ->next()
        .text;
  };
  const std::string json = tar_member("a/c.json", R"({"prompt": "of the prompt", "title": "of the title"})");
  CHECK(text_of(tar_member("a/c.txt", " of txt\n") + tar_member("a/c.text", "of text")) == "of txt");
  CHECK(text_of(tar_member("a/c.caption", "of caption") + tar_member("a/c.text", "of text")) == "of text");
  CHECK(text_of(json + tar_member("a/c.caption", "of caption")) == "of caption");
  CHECK(text_of(json) == "of the prompt");
  CHECK(text_of(json, {{"text_key", "title"}}) == "of the title");
}

TEST_CASE("samples without picture or text are left out and counted") {
  auto source = open_members(tar_member("1.txt", "no picture") + tar_member("2.png", picture(2)) +
                             tar_member("3.png", picture(3)) + tar_member("3.json", "{}") + pair(4) +
                             tar_member("._4.png", "of a file system") + tar_member("README", "no ending"));
  CHECK(unordered(texts(*source, 1)) == std::set<std::string>{"text 4"});
  CHECK(source->skipped() == Json{{"without_image", 1}, {"without_text", 2}});
  expect_error([] { open_members(tar_member("1.txt", "x"))->next(); },
               {"x.tar", "no sample with a picture and a text", "\"without_image\":1"});
}

TEST_CASE("a damaged sample stops with shard and member, again and again, or is left out and counted") {
  const std::string members = pair(1) + tar_member("bad.png", "no picture") + tar_member("bad.txt", "x") +
                              tar_member("worse.png", picture(1)) + tar_member("worse.txt", "\xff") + pair(2);
  auto stopping = open_members(members, {{"shuffle", false}});
  stopping->next();
  for (int i = 0; i < 2; ++i)
    expect_error([&] { stopping->next(); }, {"x.tar: member \"bad.png\"", "expected a PNG, JPEG or WebP"});
  auto resumed = open_members(members, {{"shuffle", false}});
  resumed->restore(stopping->state());
  expect_error([&] { resumed->next(); }, {"member \"bad.png\""});
  stopping->skip(1);
  for (int i = 0; i < 2; ++i)
    expect_error([&] { stopping->next(); }, {"x.tar: member \"worse.txt\"", "not UTF-8"});
  auto skipping = open_members(members, {{"shuffle", false}, {"on_error", "skip"}});
  CHECK(texts(*skipping, 3) == std::vector<std::string>{"text 1", "text 2", "text 1"});
  CHECK(skipping->skipped() == Json{{"damaged_sample", 2}});
}

TEST_CASE("a shard that ends early is named with its path, or left out from there on") {
  const std::string folder = fresh_folder("webdataset_cut");
  const auto path = shards(folder, 2, 3);
  write_file(folder + "/s-0.tar", (pair(0) + pair(1)).substr(0, 2 * 2048 - 700));
  const Json in_order = {{"shuffle", false}};
  auto stopping = open(path, in_order);
  texts(*stopping, 1);
  for (int i = 0; i < 2; ++i) expect_error([&] { stopping->next(); }, {"s-0.tar"});
  auto skipping = open(path, {{"shuffle", false}, {"on_error", "skip"}});
  CHECK(texts(*skipping, 5) == std::vector<std::string>{"text 0", "text 3", "text 4", "text 5", "text 0"});
  CHECK(skipping->skipped() == Json{{"damaged_shard", 1}});
}

TEST_CASE("captions apart from the shards replace their texts") {
  const std::string folder = fresh_folder("webdataset_captions");
  const auto path = shards(folder, 1, 2);
  write_file(folder + "/map.json", R"({"k0": "A. B."})");
  auto source = open(path, {{"captions", folder + "/map.json"}});
  CHECK(texts(*source, 2) == std::vector<std::string>{"A. B.", "A. B."});
  CHECK(source->skipped() == Json{{"without_text", 2}});
  std::filesystem::create_directories(folder + "/s-0");
  write_file(folder + "/s-0/k1.caption", "of the shard");
  CHECK(texts(*open(path, {{"captions", folder}}), 1) == std::vector<std::string>{"of the shard"});
}

TEST_CASE("pictures of shards meet a random one of their rows of a table of reasoning") {
  const std::string folder = fresh_folder("webdataset_table"), table = folder + "/t.csv";
  write_file(folder + "/x.tar", tar_member("x/1.png", picture(1)) + tar_member("x/2.png", picture(2)) +
                                    tar_member("x/2.txt", "of the shard") +
                                    tar_member("x/3.png", picture(3)) + tar_end());
  write_file(table, "image,question,solution\n1.png,q1,s1\n3.png,q2,s2\n4.png,q3,s3\n1.png,q4,s4\n");
  auto source = open(folder + "/x.tar", {{"captions", table}, {"terminator", "literal"}});
  const auto seen = mmada::test::seen(*source, 60);
  const auto text = [](const std::string& question, const std::string& solution) {
    return reasoning_text(question, solution, TurnTerminator::kLiteral);
  };
  CHECK(seen.size() == 2);
  CHECK(seen.at(1) == std::set<std::string>{text("q1", "s1"), text("q4", "s4")});
  CHECK(seen.at(3) == std::set<std::string>{text("q2", "s2")});
  CHECK(source->skipped().at("without_text") > 0);
  auto resumed = open(folder + "/x.tar", {{"captions", table}, {"terminator", "literal"}});
  resumed->restore(source->state());
  CHECK(texts(*resumed, 9) == texts(*source, 9));
  expect_error(
      [&] {
        open(folder + "/x.tar", {{"captions", table}, {"use", "understanding"}});
      },
      {"test: field `use`", "\"understanding\"", "\"plain\" with", "t.csv"});
}

TEST_CASE("person tokens and long texts are seen to") {
  CHECK_THAT(open_members(tar_member("1.png", picture(1)) + tar_member("1.txt", "<person><person> dance"))
                 ->next()
                 .text,
             Catch::Equals("people dance"));
  CHECK(open_members(tar_member("1.png", picture(1)) + tar_member("1.txt", "<person>"),
                     {{"replace_person_tokens", false}})
            ->next()
            .text == "<person>");
  const std::string tokenizer = std::string(MMADA_TEST_DATA) + "/../../examples/pocket/mmada";
  auto source = open_members(pair(1) + tar_member("2.png", picture(1)) +
                                 tar_member("2.txt", "red circle and a blue square and a star"),
                             {{"tokenizer", tokenizer}, {"max_tokens", 7}, {"shuffle", false}});
  CHECK(texts(*source, 2) == std::vector<std::string>{"text 1", "text 1"});
  CHECK(source->skipped().at("long_text") == 1);
}

TEST_CASE("options of a webdataset source that cannot be meant are refused") {
  expect_error([] { open("x.zip"); }, {"test: field `path`", "expected names that end in .tar"});
  expect_error([] { open("x-{0..3.tar"); }, {"test: field `path`", "opening brace"});
  expect_error([] { open("/nowhere/x-{0..3}.tar"); }, {"/nowhere/x-0.tar"});
  const auto path = shards(fresh_folder("webdataset_options"), 1, 1);
  expect_error([&] { open(path, {{"bufer", 3}}); }, {"did you mean `buffer`"});
  expect_error([&] { open(path, {{"max_tokens", 3}}); }, {"both `tokenizer` and `max_tokens`"});
}
