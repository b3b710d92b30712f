// SPDX-License-Identifier: MIT
#include "mmada/trainer/text_tokenizer.h"

#include <filesystem>
#include <memory>
#include <ostream>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/data/source.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/text/bpe_trainer.h"

namespace mmada {
namespace {

const std::vector<std::string>& published_special_tokens() {
  static const std::vector<std::string> kTokens = {
      "<|startoftext|>",   "<|endoftext|>", "<|soi|>", "<|eoi|>",      "<|sov|>",
      "<|eov|>",           "<|t2i|>",       "<|mmu|>", "<|t2v|>",      "<|v2v|>",
      "<|lvg|>",           "[iPAD]",        "<|r2i|>", "<|mdm_mask|>", "<|start_header_id|>",
      "<|end_header_id|>", "<|eot_id|>"};
  return kTokens;
}

struct Texts {
  std::unique_ptr<SampleSource> source;
  int64_t left = 0;
};

std::vector<Texts> parse_texts(Fields dataset, const std::string& path, uint64_t seed) {
  const Json& list = dataset.raw("texts");
  if (!list.is_array() || list.empty()) dataset.fail("texts", "none", "a list of {\"samples\", \"source\"}");
  std::vector<Texts> texts;
  for (size_t i = 0; i < list.size(); ++i) {
    Fields entry(list[i], path, cat("dataset.texts.", i));
    Texts text;
    text.left = entry.integer("samples", 1, int64_t{1} << 32);
    text.source = make_source(entry.raw("source"), cat("dataset.texts.", i, ".source"),
                              stream_key(seed, cat("text_tokenizer/", i)));
    texts.push_back(std::move(text));
    entry.finish();
  }
  dataset.finish();
  return texts;
}

BpeTrainerOptions parse_bpe_options(Fields fields) {
  BpeTrainerOptions options;
  options.vocab_size = fields.integer("vocab_size", 257, 1 << 24, options.vocab_size);
  options.special_tokens = fields.strings("special_tokens", published_special_tokens());
  options.added_tokens = fields.strings("added_tokens", std::vector<std::string>{"<think>", "</think>"});
  options.individual_digits = fields.boolean("individual_digits", true);
  options.min_frequency = fields.integer("min_frequency", 0, INT64_MAX, options.min_frequency);
  fields.finish();
  return options;
}

}  // namespace

std::string train_text_tokenizer(Fields& fields, const Json& config, std::ostream* log) {
  Fields experiment = fields.object("experiment");
  const std::string output_dir = experiment.string("output_dir");
  experiment.finish();
  Fields training = fields.object("training");
  const auto seed = static_cast<uint64_t>(training.integer("seed", 0, INT64_MAX, 10086));
  training.finish();
  const BpeTrainerOptions options = parse_bpe_options(fields.object("tokenizer"));
  std::vector<Texts> texts = parse_texts(fields.object("dataset"), "config", seed);
  fields.finish();

  int64_t count = 0;
  size_t current = 0;
  const std::string tokenizer = train_bpe(
      [&](std::string& text) {
        while (current < texts.size() && texts[current].left == 0) ++current;
        if (current == texts.size()) return false;
        --texts[current].left;
        ++count;
        text = texts[current].source->next().text;
        return true;
      },
      options);
  std::filesystem::create_directories(output_dir);
  write_file(output_dir + "/config.json", config.dump(2) + "\n");
  write_file(output_dir + "/tokenizer.json", tokenizer);
  if (log != nullptr) *log << "trained a text tokenizer on " << count << " texts" << std::endl;
  return output_dir + "/tokenizer.json";
}

}  // namespace mmada
