// SPDX-License-Identifier: MIT
// `mmada tokenize text` and `mmada detokenize text`.
#include <cstdio>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/text/tokenizer.h"

namespace mmada::cli {
namespace {

struct TokenizeOptions {
  std::string tokenizer;
  std::string text;
  std::string input;
  bool json = false;
};

struct DetokenizeOptions {
  std::string tokenizer;
  std::vector<int64_t> ids;
  std::string input;
  bool keep_special = false;
  bool json = false;
};

void print_ids(const TokenIds& ids) {
  for (size_t i = 0; i < ids.size(); ++i)
    std::printf("%s%lld", i > 0 ? "," : "", static_cast<long long>(ids[i]));
  std::printf("\n");
}

/// The file's list of strings, or one string for a file that is one.
std::vector<std::string> read_texts(const std::string& path) {
  const Json file = read_json_file(path, kLargeJson);
  MMADA_CHECK(file.is_array(), path, ": found ", found_text(file), ", expected a list of strings");
  std::vector<std::string> texts;
  for (const Json& item : file) {
    MMADA_CHECK(item.is_string(), path, ": [", texts.size(), "]: found ", found_text(item),
                ", expected a string");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

/// The file's list of id lists (a flat list of ids is one text).
std::vector<TokenIds> read_id_lists(const std::string& path) {
  const Json file = read_json_file(path, kLargeJson);
  MMADA_CHECK(file.is_array(), path, ": found ", found_text(file), ", expected a list of id lists");
  const Json lists = !file.empty() && !file[0].is_array() ? Json::array({file}) : file;
  std::vector<TokenIds> ids;
  for (const Json& list : lists) {
    MMADA_CHECK(list.is_array(), path, ": [", ids.size(), "]: found ", found_text(list),
                ", expected a list of ids");
    ids.emplace_back();
    for (const Json& id : list) {
      const auto number = whole_number(id);
      MMADA_CHECK(number, path, ": [", ids.size() - 1, "]: found ", found_text(id), ", expected an id");
      ids.back().push_back(*number);
    }
  }
  return ids;
}

void tokenize(const TokenizeOptions& options, bool from_file) {
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const auto texts = from_file ? read_texts(options.input) : std::vector<std::string>{options.text};
  Json lists = Json::array();
  for (const auto& text : texts) {
    const TokenIds ids = tokenizer->encode(text);
    if (!options.json) print_ids(ids);
    lists.push_back(ids);
  }
  if (options.json) print_json(lists);
}

void detokenize(const DetokenizeOptions& options, bool from_file) {
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const auto lists = from_file ? read_id_lists(options.input) : std::vector<TokenIds>{options.ids};
  Json texts = Json::array();
  for (const auto& ids : lists) {
    const std::string text = tokenizer->decode(ids, !options.keep_special);
    if (!options.json) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::printf("\n");
    }
    texts.push_back(text);
  }
  if (options.json) print_json(texts);
}

constexpr const char* kTokenizerHelp =
    "tokenizer.json, a SentencePiece .model, or a checkpoint folder with either";

}  // namespace

void add_tokenize_text(CLI::App& media) {
  auto* verb = media.add_subcommand("text", "Print the token ids of texts, one line per text");
  auto options = std::make_shared<TokenizeOptions>();
  verb->add_option("--tokenizer", options->tokenizer, kTokenizerHelp)->required();
  auto* source = verb->add_option_group("source", "Where the texts come from")->require_option(1);
  source->add_option("--text", options->text, "One text");
  auto* input = source->add_option("--input", options->input, "JSON file with a list of strings");
  verb->add_flag("--json", options->json, "Print one JSON list of id lists");
  verb->callback([options, input] { tokenize(*options, input->count() > 0); });
}

void add_detokenize_text(CLI::App& media) {
  auto* verb = media.add_subcommand("text", "Print the text of token ids, one line per text");
  auto options = std::make_shared<DetokenizeOptions>();
  verb->add_option("--tokenizer", options->tokenizer, kTokenizerHelp)->required();
  auto* source = verb->add_option_group("source", "Where the ids come from")->require_option(1);
  source->add_option("--ids", options->ids, "Token ids, such as 1,2,3")->delimiter(',');
  auto* input = source->add_option("--input", options->input, "JSON file with a list of id lists");
  verb->add_flag("--keep-special", options->keep_special,
                 "Write special tokens out instead of leaving them out");
  verb->add_flag("--json", options->json, "Print one JSON list of strings");
  verb->callback([options, input] { detokenize(*options, input->count() > 0); });
}

}  // namespace mmada::cli
