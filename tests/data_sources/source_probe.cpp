// SPDX-License-Identifier: MIT
// What the Python oracles ask: `source_probe OPTIONS COUNT [POSITION]` draws COUNT samples from the source of
// these options (JSON) with seed 1, after POSITION samples that it drew, saved and restored behind; it prints
// one text a line as JSON.
#include <cstdio>
#include <cstdlib>

#include "mmada/data/source.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  try {
    const mmada::Json options = mmada::parse_json(argv[1], "options");
    auto source = mmada::make_source(options, "options", 1);
    for (int i = 0; argc > 3 && i < std::atoi(argv[3]); ++i) source->next();
    const mmada::Json state = source->state();
    source = mmada::make_source(options, "options", 1);
    source->restore(state);
    for (int i = 0; i < std::atoi(argv[2]); ++i) std::puts(mmada::Json(source->next().text).dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
