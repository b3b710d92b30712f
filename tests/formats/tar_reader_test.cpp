// SPDX-License-Identifier: MIT
#include "mmada/formats/tar_reader.h"

#include "mmada/formats/atomic_file.h"
#include "tests/formats/expect_error.h"
#include "tests/support/tar_writer.h"

using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::tar_end;
using mmada::testing::tar_member;

namespace {

using Listing = std::vector<std::pair<std::string, std::string>>;

Listing listed(TarReader reader) {
  Listing list;
  while (auto member = reader.next()) list.emplace_back(member->name, reader.read());
  return list;
}
Listing listed(const std::string& bytes, const Limits& limits = {}) {
  return listed(TarReader(bytes, "shard", limits));
}

}  // namespace

TEST_CASE("the files of an archive come in order, with folders passed over and ./ taken off") {
  const std::string tar = tar_member("./a/", "", '5') + tar_member("./a/1.txt", "one") +
                          tar_member("2.bin", std::string(1500, 'x')) + tar_member("empty", "") + tar_end();
  const Listing expected = {{"a/1.txt", "one"}, {"2.bin", std::string(1500, 'x')}, {"empty", ""}};
  CHECK(listed(tar) == expected);
  const std::string folder = mmada::testing::fresh_folder("tar_reader");
  write_file(folder + "/x.tar", tar);
  CHECK(listed(TarReader(folder + "/x.tar")) == expected);
}

TEST_CASE("members may be passed over unread") {
  TarReader reader(tar_member("a", std::string(200'000, 'a')) + tar_member("b", "bee") + tar_end(), "shard");
  CHECK(reader.next()->bytes == 200'000);
  CHECK(reader.next()->name == "b");
  CHECK(reader.read() == "bee");
  CHECK_FALSE(reader.next().has_value());
  CHECK_FALSE(reader.next().has_value());
}

TEST_CASE("an archive cut anywhere is refused by its name") {
  const std::string tar = tar_member("a.txt", std::string(700, 'a')) + tar_member("b.txt", "b") + tar_end();
  for (const size_t cut : {1u, 100u, 511u, 513u, 1000u, 1212u, 1536u, 1600u, 2048u, 2200u, 2560u}) {
    INFO("cut at " << cut);
    expect_error([&] { listed(tar.substr(0, cut)); }, {"shard"});
  }
  expect_error([&] { listed(tar.substr(0, 1536)); }, {"after 1 members", "cut off"});
  expect_error([&] { listed(tar.substr(0, 1000)); }, {"member \"a.txt\""});
  CHECK(listed(tar.substr(0, tar.size() - 512)).size() == 2);  // one block of zeros is an end mark
}

TEST_CASE("an archive cut behind a header that only prepares the next one is refused") {
  const std::string body = "18 path=other.txt\n";
  for (const auto& [type, contents] :
       {std::pair('x', body), std::pair('L', std::string("long.txt")), std::pair('V', std::string())}) {
    INFO(type);
    const std::string prepared = tar_member("a.txt", "a") + tar_member("prepares", contents, type);
    expect_error([&] { listed(prepared); }, {"shard"});
    CHECK(listed(prepared + tar_member("b.txt", "b") + tar_end()).size() == 2);
  }
}

TEST_CASE("names that could lead out of a folder are refused") {
  for (const std::string name : {"../a", "a/../../b", "/etc/passwd", "a\\b", "a\nb", "a/..", "\xff.jpg"}) {
    INFO(name);
    expect_error([&] { listed(tar_member(name, "x") + tar_end()); },
                 {"shard: member", "expected a relative name"});
  }
  for (const std::string name : {".", "././."})
    expect_error([&] { listed(tar_member(name, "x") + tar_end()); },
                 {"shard: member", "found a name of dots alone"});
  CHECK(listed(tar_member("./", "", '5') + tar_member("a", "x") + tar_end()).size() == 1);
  CHECK(listed(tar_member("a..b/..c.jpg", "x") + tar_end())[0].first == "a..b/..c.jpg");
}

TEST_CASE("links and devices are refused") {
  for (const char type : {'1', '2', '3', '4', '6'}) {
    INFO(type);
    expect_error([&] { listed(tar_member("x.jpg", "", type) + tar_end()); },
                 {"member \"x.jpg\"", "link or device"});
  }
}

TEST_CASE("sizes beyond the limits are refused before their bytes are read") {
  const Limits limits{.tar_member_bytes = 100, .tar_name_bytes = 20, .tar_members = 2};
  expect_error(
      [&] { TarReader(tar_member("big", std::string(101, 'x')) + tar_end(), "shard", limits).next(); },
      {"member \"big\"", "found 101 bytes", "at most 100"});
  expect_error([&] { listed(tar_member(std::string(21, 'n'), "x") + tar_end(), limits); },
               {"a name of 21 bytes"});
  expect_error(
      [&] { listed(tar_member("a", "") + tar_member("b", "") + tar_member("c", "") + tar_end(), limits); },
      {"more than 2 members"});
}

TEST_CASE("what is no archive is said to be none") {
  expect_error([] { listed(std::string(2000, 'x')); }, {"shard", "expected a complete tar archive"});
  expect_error([] { listed("PK\x03\x04 zip"); }, {"shard"});
  expect_error([] { listed(std::string()); }, {"shard: found no bytes"});
  expect_error([] { TarReader("/nowhere/x.tar"); }, {"/nowhere/x.tar"});
}
