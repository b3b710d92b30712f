// SPDX-License-Identifier: MIT
// bench_tokenizer_speed TOKENIZER.json TEXTS.json ROUNDS: encodes the texts one by one on one thread and
// prints
// {"load_s", "first_s" (nothing cached yet), "best_s" (best of ROUNDS), "bytes", "ids"}; seconds are CPU
// time.
#include <algorithm>
#include <cstdio>
#include <ctime>

#include "mmada/core/json.h"
#include "mmada/formats/bpe_tokenizer.h"

namespace {

double seconds_since(std::clock_t start) {
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

int main(int argc, char** argv) try {
  MMADA_CHECK(argc == 4, "found ", argc - 1, " arguments, expected TOKENIZER.json TEXTS.json ROUNDS");
  std::vector<std::string> texts;
  size_t bytes = 0;
  for (const mmada::Json& text : mmada::read_json_file(argv[2], mmada::kLargeJson)) {
    texts.push_back(text.get<std::string>());
    bytes += texts.back().size();
  }
  std::clock_t start = std::clock();
  const auto tokenizer = mmada::BpeTokenizer::load(argv[1]);
  const double load = seconds_since(start);
  double first = 0, best = 0;
  size_t ids = 0;
  for (int round = 0; round < std::stoi(argv[3]); ++round) {
    start = std::clock();
    ids = 0;
    for (const auto& text : texts) ids += tokenizer.encode(text).size();
    const double took = seconds_since(start);
    if (round == 0) first = took;
    best = round == 0 ? took : std::min(best, took);
  }
  const mmada::Json result = {
      {"load_s", load}, {"first_s", first}, {"best_s", best}, {"bytes", bytes}, {"ids", ids}};
  std::printf("%s\n", result.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
