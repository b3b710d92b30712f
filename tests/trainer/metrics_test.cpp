// SPDX-License-Identifier: MIT
#include "mmada/trainer/metrics.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "mmada/core/json.h"

namespace {

namespace fs = std::filesystem;
using namespace mmada;

std::vector<int64_t> steps_of(const fs::path& path) {
  std::ifstream in(path);
  std::vector<int64_t> steps;
  for (std::string line; std::getline(in, line);) steps.push_back(Json::parse(line)["step"].get<int64_t>());
  return steps;
}

}  // namespace

TEST_CASE("CRC-32C gives the published check value") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
}

TEST_CASE("metrics of a resumed run continue where the checkpoint stands") {
  const std::string run = MMADA_TEST_TMP "/metrics";
  fs::remove_all(run);
  {
    Metrics metrics(run, 0, false);
    for (int64_t step = 1; step <= 8; ++step)
      metrics.write(step, {{"loss", 0.1 * static_cast<double>(step)}});
  }
  std::ofstream(run + "/metrics.jsonl", std::ios::app) << "{\"step\": 9, \"lo";  // cut short by a crash
  Metrics metrics(run, 5, false);
  metrics.write(6, {{"loss", 0.25}});
  CHECK(steps_of(run + "/metrics.jsonl") == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("values keep every bit") {
  const std::string run = MMADA_TEST_TMP "/metrics_bits";
  fs::remove_all(run);
  const double value = 0.1 + 0.2;
  Metrics(run, 0, false).write(1, {{"loss", value}});
  std::ifstream in(run + "/metrics.jsonl");
  std::string line;
  std::getline(in, line);
  CHECK(Json::parse(line)["loss"].get<double>() == value);
}
