// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "mmada/text/sentencepiece_tokenizer.h"
#include "mmada/text/tokenizer.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

class BpeAdapter final : public Tokenizer {
 public:
  explicit BpeAdapter(BpeTokenizer bpe) : bpe_(std::move(bpe)) {}
  TokenIds encode(std::string_view text) const override { return bpe_.encode(text); }
  std::string decode(const TokenIds& ids, bool skip_special) const override {
    return bpe_.decode(ids, skip_special);
  }
  std::optional<int64_t> token_id(std::string_view token) const override { return bpe_.token_id(token); }
  std::string token(int64_t id) const override { return bpe_.token(id); }
  int64_t size() const override { return bpe_.size(); }

 private:
  BpeTokenizer bpe_;
};

/// The tokenizer file at, or inside, the path; empty when there is none.
fs::path find_tokenizer(const fs::path& path) {
  if (fs::is_regular_file(path)) return path;
  if (!fs::is_directory(path)) return {};
  if (fs::is_regular_file(path / "tokenizer.json")) return path / "tokenizer.json";
  if (fs::is_regular_file(path / "tokenizer.model")) return path / "tokenizer.model";
  std::vector<fs::path> models;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_regular_file() && entry.path().extension() == ".model") models.push_back(entry.path());
  MMADA_CHECK(models.size() <= 1, path.string(), ": found ", models.size(),
              " .model files, expected one (or name the file itself)");
  return models.empty() ? fs::path() : models.front();
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& path) {
  const fs::path file = find_tokenizer(path);
  MMADA_CHECK(!file.empty(), path,
              ": found no tokenizer, expected tokenizer.json, a SentencePiece .model, or a folder ",
              "that holds one");
  if (file.extension() == ".model") return std::make_shared<SentencePieceTokenizer>(file.string());
  return std::make_shared<BpeAdapter>(BpeTokenizer::load(file.string()));
}

bool has_tokenizer(const std::string& path) {
  const fs::path file = find_tokenizer(path);
  return !file.empty() && (file.extension() == ".json" || file.extension() == ".model");
}

std::string tokenizer_file(const std::string& path) { return find_tokenizer(path).string(); }

}  // namespace mmada
