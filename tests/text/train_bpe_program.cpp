// SPDX-License-Identifier: MIT
// train_bpe for bpe_trainer_test.py: one JSON object {"texts": [...], options...} on stdin, the
// tokenizer.json on stdout.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "mmada/core/json.h"
#include "mmada/text/bpe_trainer.h"

int main() try {
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  const mmada::Json json = mmada::parse_json(input, "stdin");
  mmada::Fields fields(json, "stdin");
  mmada::BpeTrainerOptions options;
  options.vocab_size = fields.integer("vocab_size", 0, 1 << 30);
  options.special_tokens = fields.strings("special_tokens");
  options.added_tokens = fields.strings("added_tokens", std::vector<std::string>{});
  options.individual_digits = fields.boolean("individual_digits", false);
  options.min_frequency = fields.integer("min_frequency", 0, 1 << 30, 0);
  const auto texts = fields.strings("texts");
  fields.finish();
  size_t next = 0;
  const auto source = [&](std::string& text) {
    if (next == texts.size()) return false;
    text = texts[next++];
    return true;
  };
  std::fputs(mmada::train_bpe(source, options).c_str(), stdout);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
