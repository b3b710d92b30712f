// SPDX-License-Identifier: MIT
#include "mmada/formats/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "tests/formats/expect_error.h"

namespace fs = std::filesystem;
using namespace mmada;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

size_t entries_of(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("a committed file holds what was written and leaves no temporary name") {
  const std::string folder = fresh_folder("atomic_commit");
  AtomicFile file(folder + "/a.txt");
  file.write("one ");
  file.write(std::string_view("two\0three", 9));
  CHECK_FALSE(fs::exists(folder + "/a.txt"));
  file.commit();
  CHECK(read_file(folder + "/a.txt") == std::string("one two\0three", 13));
  CHECK(entries_of(folder) == 1);
  expect_error([&] { file.write("more"); }, {"a.txt", "after commit"});
  expect_error([&] { file.commit(); }, {"a.txt", "committed twice"});
}

TEST_CASE("without commit the old file stays and nothing is left behind") {
  const std::string folder = fresh_folder("atomic_abandon");
  write_file(folder + "/a.txt", "old");
  {
    AtomicFile file(folder + "/a.txt");
    file.write("half");
  }
  CHECK(read_file(folder + "/a.txt") == "old");
  CHECK(entries_of(folder) == 1);
}

TEST_CASE("two writers of one path do not share a temporary file, the last commit wins") {
  const std::string folder = fresh_folder("atomic_two");
  AtomicFile first(folder + "/a.txt"), second(folder + "/a.txt");
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  CHECK(read_file(folder + "/a.txt") == "first");
  CHECK(entries_of(folder) == 1);
}

TEST_CASE("a disk that takes no more bytes gives an error and leaves no partial output") {
  const std::string folder = fresh_folder("atomic_full");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    write_file(folder + "/big.bin", std::string(10000, 'x'));
  } catch (const Error& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);  // before any CHECK, which may write to a report file
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, Catch::Contains("big.bin: writing failed with 5904 bytes to go"));
  CHECK(entries_of(folder) == 0);
}

TEST_CASE("names as long as the file system allows can be written") {
  const std::string folder = fresh_folder("atomic_long");
  const std::string path = folder + "/" + std::string(255, 'n');
  write_file(path, "x");
  CHECK(read_file(path) == "x");
}

TEST_CASE("paths that cannot become a file are refused") {
  const std::string folder = fresh_folder("atomic_refused");
  expect_error([&] { AtomicFile{folder}; },
               {"atomic_refused", "folder or device", "expected a regular file"});
  expect_error([&] { AtomicFile{folder + "/"}; }, {"names no file"});
  expect_error([&] { AtomicFile{"/dev/null"}; }, {"/dev/null", "device"});
  expect_error([&] { AtomicFile{""}; }, {"names no file"});
  expect_error([&] { AtomicFile{folder + "/none/a"}; }, {"/none/a", "No such file or directory"});
}

TEST_CASE("read_file refuses what is missing, a folder or too large") {
  const std::string folder = fresh_folder("read_file");
  expect_error([&] { read_file(folder + "/none"); }, {"/none", "No such file or directory"});
  expect_error([&] { read_file(folder); }, {"read_file", "folder"});
  write_file(folder + "/ten", "0123456789");
  CHECK(read_file(folder + "/ten", 10) == "0123456789");
  expect_error([&] { read_file(folder + "/ten", 9); }, {"/ten", "found 10 bytes", "at most 9"});
  expect_error([&] { read_file("/dev/zero", 1000); }, {"/dev/zero", "more than 1000 bytes"});
  write_file(folder + "/empty", "");
  CHECK(read_file(folder + "/empty").empty());
}
