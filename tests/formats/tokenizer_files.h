// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/core/json.h"
#include "mmada/formats/bpe_unicode.h"

// tokenizer.json files for the tests of the byte-pair encoder.
namespace mmada::testing {

/// Three characters, one merge, one added token, no byte alphabet.
inline const char* const kSmall = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 4, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3}, "merges": ["a b"]}
})";

/// The small file with one value set (at a JSON pointer).
inline std::string small_with(const std::string& pointer, const std::string& value) {
  Json file = parse_json(kSmall, "test");
  file[Json::json_pointer(pointer)] = parse_json(value, "test");
  return file.dump();
}

/// A byte-level file: the 256 bytes, and merges that double runs of "a" and of spaces.
inline std::string byte_level_file(const std::string& pattern) {
  Json vocabulary = Json::object(), merges = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    std::string unit;
    bpe::append_codepoint(unit, bpe::byte_to_codepoint(static_cast<uint8_t>(byte)));
    vocabulary[unit] = vocabulary.size();
  }
  for (std::string run : {"a", "\u0120"}) {
    for (int i = 0; i < 5; ++i) {
      merges.push_back(Json::array({run, run}));
      run += run;
      vocabulary[run] = vocabulary.size();
    }
  }
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return Json({{"version", "1.0"},
               {"added_tokens", Json::array()},
               {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}}},
               {"decoder", {{"type", "ByteLevel"}}},
               {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}})
      .dump();
}

inline const char* const kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace mmada::testing
