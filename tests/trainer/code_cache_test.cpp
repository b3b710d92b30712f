// SPDX-License-Identifier: MIT
#include "mmada/trainer/code_cache.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"

namespace {

using namespace mmada;
namespace fs = std::filesystem;

constexpr int64_t kCount = 6;
constexpr int64_t kRecord = 4 * kCount + 4;  // codes and their checksum, as the header says
const Json kSetup = {{"weights", "a"}};

/// A folder of its own for each test case, empty.
std::string folder(const std::string& name) {
  const std::string path = cat(MMADA_TEST_TMP, "/code_cache_", name);
  fs::remove_all(path);
  return path;
}

CodeCache::Key key(uint8_t first) {
  CodeCache::Key key{};
  key[0] = first, key[15] = 7;
  return key;
}

CodeCache::Codes codes(uint32_t first) { return {first, first + 1, 70000, 3, 2, 1}; }

void put(CodeCache& cache, std::initializer_list<uint8_t> keys) {
  std::vector<std::pair<CodeCache::Key, CodeCache::Codes>> pictures;
  for (const uint8_t k : keys) pictures.emplace_back(key(k), codes(100u + k));
  cache.put(pictures);
}

void flip(const std::string& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const int byte = file.get();
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 0x10));
}

TEST_CASE("codes that were put are found, by the same process and by the next") {
  const std::string path = folder("found");
  CodeCache cache(path, kSetup, kCount);
  CHECK(!cache.find(key(1)));
  put(cache, {1, 2});
  put(cache, {2, 3});
  CHECK(cache.find(key(2)) == codes(102));
  CHECK(fs::file_size(cache.path() + "/index") == 3 * 16);  // what is there is not written again
  CHECK(fs::file_size(cache.path() + "/codes") == 3 * kRecord);
  CodeCache next(path, kSetup, kCount);
  CHECK(next.size() == 3);
  for (const uint8_t k : {1, 2, 3}) CHECK(next.find(key(k)) == codes(100u + k));
  CHECK(!next.find(key(4)));
}

TEST_CASE("another setup finds nothing, and says beside its codes what it is") {
  const std::string path = folder("setup");
  CodeCache cache(path, kSetup, kCount);
  put(cache, {1});
  CodeCache other(path, {{"weights", "b"}}, kCount);
  CHECK(!other.find(key(1)));
  CHECK(other.path() != cache.path());
  CHECK(Json::parse(read_file(other.path() + "/setup.json")) == Json{{"weights", "b"}});
}

TEST_CASE("what one process puts another that runs already finds, and puts on behind it") {
  const std::string path = folder("shared");
  CodeCache a(path, kSetup, kCount), b(path, kSetup, kCount);
  put(a, {1});
  CHECK(b.find(key(1)) == codes(101));
  put(b, {1, 2});
  put(a, {3, 2});
  for (const uint8_t k : {1, 2, 3}) {
    CHECK(a.find(key(k)) == codes(100u + k));
    CHECK(b.find(key(k)) == codes(100u + k));
  }
  CHECK(fs::file_size(a.path() + "/index") == 3 * 16);
}

TEST_CASE("processes that write at the same time lose nothing") {
  const std::string path = folder("together");
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      CodeCache cache(path, kSetup, kCount);
      for (int i = 0; i < 50; ++i) put(cache, {static_cast<uint8_t>(50 * child + i), 250});
      ::_exit(0);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 1;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
  }
  CodeCache cache(path, kSetup, kCount);
  CHECK(cache.size() == 201);
  for (int k = 0; k < 200; ++k)
    CHECK(cache.find(key(static_cast<uint8_t>(k))) == codes(100u + static_cast<uint32_t>(k)));
  CHECK(fs::file_size(cache.path() + "/index") == 201 * 16);
  CHECK(fs::file_size(cache.path() + "/codes") == 201 * kRecord);
}

TEST_CASE("what a killed writer left half-done is not found, and is written over") {
  const std::string path = folder("torn");
  std::string at;
  {
    CodeCache cache(path, kSetup, kCount);
    put(cache, {1, 2});
    at = cache.path();
  }
  const auto torn = GENERATE(0, 1, 2);
  if (torn == 0) fs::resize_file(at + "/index", 16 + 5);        // within an entry
  if (torn == 1) fs::resize_file(at + "/index", 16);            // between codes and entry
  if (torn == 2) fs::resize_file(at + "/codes", kRecord + 10);  // codes lost with the machine
  CodeCache cache(path, kSetup, kCount);
  CHECK(cache.find(key(1)) == codes(101));
  CHECK(!cache.find(key(2)));
  put(cache, {3, 2});
  CodeCache next(path, kSetup, kCount);
  for (const uint8_t k : {1, 2, 3}) CHECK(next.find(key(k)) == codes(100u + k));
}

TEST_CASE("a damaged record is not found, is reported once, and is replaced") {
  const std::string path = folder("damaged");
  CodeCache cache(path, kSetup, kCount);
  put(cache, {1, 2, 3});
  flip(cache.path() + "/codes", 2);                // a code of the first
  flip(cache.path() + "/codes", 2 * kRecord - 1);  // the checksum of the second
  std::ostringstream log;
  cache.log_to(&log);
  CHECK(!cache.find(key(1)));
  CHECK(!cache.find(key(2)));
  CHECK(!cache.find(key(1)));
  CHECK(cache.find(key(3)) == codes(103));
  const std::string said = log.str();
  CHECK_THAT(said, Catch::Contains(cache.path() + "/codes: record 0 is damaged"));
  CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  put(cache, {1, 2});
  CodeCache next(path, kSetup, kCount);
  std::ostringstream quiet;
  next.log_to(&quiet);
  for (const uint8_t k : {1, 2, 3}) {
    CHECK(cache.find(key(k)) == codes(100u + k));
    CHECK(next.find(key(k)) == codes(100u + k));
  }
  CHECK(quiet.str().empty());
}

TEST_CASE("a record belongs to its picture: under another's entry it is damage") {
  const std::string path = folder("swapped");
  CodeCache cache(path, kSetup, kCount);
  put(cache, {1, 2});
  flip(cache.path() + "/index", 16);  // the second entry now names another picture
  CodeCache next(path, kSetup, kCount);
  CHECK(!next.find(key(2)));
  CHECK(!next.find(key(2 ^ 0x10)));
}

TEST_CASE("pictures of another size and folders that cannot be made are refused") {
  CodeCache cache(folder("refused"), kSetup, kCount);
  CHECK_THROWS_WITH(cache.put({{key(1), {1, 2, 3}}}),
                    Catch::Contains("found a picture of 3") && Catch::Contains("expected 6"));
  write_file(cache.path() + "/file", "x");
  CHECK_THROWS_WITH(CodeCache(cache.path() + "/file", kSetup, kCount), Catch::Contains("/file"));
}

}  // namespace
