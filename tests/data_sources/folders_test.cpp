// SPDX-License-Identifier: MIT
#include "mmada/data/folders.h"

#include <set>

#include "mmada/data/source.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/text/chat.h"
#include "tests/data_sources/draw.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

void put_picture(const std::string& path, int value) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  const auto byte = static_cast<uint8_t>(value);
  write_image(path, {.width = 1, .height = 1, .channels = 3, .pixels = {byte, byte, byte}});
}

std::unique_ptr<SampleSource> open(const std::string& type, const std::string& path,
                                   Json extra = Json::object()) {
  extra["type"] = type;
  extra["path"] = path;
  return make_source(extra, "test", 7);
}

using mmada::test::seen;
using mmada::test::Seen;

}  // namespace

TEST_CASE("class folders give class names, by a file of numbers or their own names") {
  const std::string folder = fresh_folder("image_folder");
  put_picture(folder + "/n02/a.png", 3);
  put_picture(folder + "/n01/b.png", 1);
  put_picture(folder + "/n01/c.png", 2);
  write_file(folder + "/names", "1: tench: a fish\n0: goldfish\n");
  auto source = open("image_folder", folder, {{"classes", folder + "/names"}});
  CHECK(seen(*source, 3) == Seen{{1, {"goldfish"}}, {2, {"goldfish"}}, {3, {"tench: a fish"}}});
  CHECK(seen(*open("image_folder", folder), 3) == Seen{{1, {"n01"}}, {2, {"n01"}}, {3, {"n02"}}});
  write_file(folder + "/names", "0: goldfish\n");
  expect_error(
      [&] {
        open("image_folder", folder, {{"classes", folder + "/names"}});
      },
      {"names: found no line for index 1", "n02", "each of the 2 folders"});
  for (const std::string bad : {"0 goldfish", "x: y", "0:", "0: a\n0: b"}) {
    write_file(folder + "/names", bad);
    expect_error(
        [&] {
          open("image_folder", folder, {{"classes", folder + "/names"}});
        },
        {"names:", "expected"});
  }
  expect_error([] { open("image_folder", "/nowhere"); }, {"/nowhere", "No such file"});
  expect_error([&] { open("image_folder", folder + "/n01"); }, {"n01: found no picture"});
}

TEST_CASE("captions lie beside their pictures or apart, and pictures without one are counted") {
  const std::string folder = fresh_folder("caption_folder");
  put_picture(folder + "/a.png", 1);
  put_picture(folder + "/b.JPG.png", 2);
  put_picture(folder + "/c.png", 3);
  write_file(folder + "/a.txt", "The image is red. Very.\nmore");
  write_file(folder + "/b.JPG.caption", "green");
  write_file(folder + "/map.json", R"({"a": "one", "c": ["two", "three"]})");
  auto source = open("caption_folder", folder);
  CHECK(seen(*source, 4) == Seen{{1, {"The image is red. Very."}}, {2, {"green"}}});
  CHECK(source->skipped() == Json{{"without_text", 1}});
  CHECK(seen(*open("caption_folder", folder, {{"captions", folder + "/map.json"}}), 40) ==
        Seen{{1, {"one"}}, {3, {"two", "three"}}});
  CHECK(seen(*open("caption_folder", folder, {{"use", "generation"}}), 40) ==
        Seen{{1, {"red.", "red. Very."}}, {2, {"green"}}});
  CHECK_THAT(
      open("caption_folder", folder, {{"use", "understanding"}})->next().text,
      Catch::StartsWith("<|start_header_id|>user<|end_header_id|>\nPlease describe this image in detail."));
}

TEST_CASE("r2i triples become a reasoned picture") {
  const std::string folder = fresh_folder("r2i_folder");
  put_picture(folder + "/a.jpg", 1);
  put_picture(folder + "/b.jpg", 2);
  write_file(folder + "/a.caption", "a red house under a tree\n");
  write_file(folder + "/a.shortcaption", "a house\n");
  write_file(folder + "/b.caption", "no short one");
  auto source = open("r2i_folder", folder);
  const Sample sample = source->next();
  CHECK(sample.text == r2i_text("a house", "a red house under a tree"));
  CHECK(sample.image.width == 1);
  CHECK(source->skipped() == Json{{"without_text", 1}});
  CHECK_THAT(open("r2i_folder", folder, {{"terminator", "literal"}})->next().text,
             Catch::Contains("<eot_id>"));
}

TEST_CASE("a source of records goes on exactly after any position, and skipping equals drawing") {
  const std::string folder = fresh_folder("folder_resume");
  for (int i = 0; i < 5; ++i) put_picture(cat(folder, "/c", i % 2, "/", i, ".png"), i);
  const auto values = [](SampleSource& source, int count) {
    std::vector<int> list;
    for (int i = 0; i < count; ++i) list.push_back(source.next().image.pixels[0]);
    return list;
  };
  const auto first = values(*open("image_folder", folder), 5);
  CHECK(std::set<int>(first.begin(), first.end()).size() == 5);
  for (int position = 0; position < 12; ++position) {
    auto straight = open("image_folder", folder), resumed = open("image_folder", folder),
         skipped = open("image_folder", folder);
    values(*straight, position);
    resumed->restore(parse_json(straight->state().dump(), "state"));
    skipped->skip(position);
    CHECK(skipped->state() == straight->state());
    const auto rest = values(*straight, 9);
    CHECK(values(*resumed, 9) == rest);
    CHECK(values(*skipped, 9) == rest);
  }
  const Json state = open("image_folder", folder)->state();
  std::filesystem::rename(folder + "/c0/0.png", folder + "/c0/x.png");
  expect_error([&] { open("image_folder", folder)->restore(state); }, {"names", "the data changed"});
}
