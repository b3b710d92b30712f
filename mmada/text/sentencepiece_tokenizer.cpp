// SPDX-License-Identifier: MIT
#include "mmada/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"

namespace mmada {
namespace {

void check(const sentencepiece::util::Status& status, const std::string& what) {
  MMADA_CHECK(status.ok(), what, ": SentencePiece: ", status.ToString());
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  const std::string bytes = read_file(path);
  MMADA_CHECK(processor_->LoadFromSerializedProto(bytes).ok(), path, ": found ", bytes.size(),
              " bytes that SentencePiece cannot read, expected a SentencePiece model");
  for (int id = 0; id < processor_->GetPieceSize(); ++id)
    if (processor_->IsControl(id)) control_.emplace_back(processor_->IdToPiece(id), id);
  std::stable_sort(control_.begin(), control_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}
SentencePieceTokenizer::~SentencePieceTokenizer() = default;

TokenIds SentencePieceTokenizer::encode(std::string_view text) const {
  TokenIds ids;
  const auto encode_plain = [&](std::string_view plain) {
    if (plain.empty()) return;
    std::vector<int> pieces;
    check(processor_->Encode(absl::string_view(plain.data(), plain.size()), &pieces), "encoding text");
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  };
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    const auto found = std::find_if(control_.begin(), control_.end(), [&](const auto& piece) {
      return text.substr(at).starts_with(piece.first);
    });
    if (found == control_.end()) {
      ++at;
      continue;
    }
    encode_plain(text.substr(from, at - from));
    ids.push_back(found->second);
    from = at += found->first.size();
  }
  encode_plain(text.substr(from));
  return ids;
}

std::string SentencePieceTokenizer::decode(const TokenIds& ids, bool skip_special) const {
  std::string text;
  std::vector<int> plain;
  const auto flush = [&] {
    std::string part;
    check(processor_->Decode(plain, &part), "decoding ids");
    text += part;
    plain.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    MMADA_CHECK(ids[i] >= 0 && ids[i] < size(), "token ", i, ": found id ", ids[i],
                ", expected an id from 0 to ", size() - 1);
    const int id = static_cast<int>(ids[i]);
    if (!processor_->IsControl(id)) {
      plain.push_back(id);
    } else if (!skip_special) {
      flush();
      text += processor_->IdToPiece(id);
    }
  }
  flush();
  return text;
}

std::optional<int64_t> SentencePieceTokenizer::token_id(std::string_view token) const {
  const int id = processor_->PieceToId(absl::string_view(token.data(), token.size()));
  if (processor_->IdToPiece(id) != token) return std::nullopt;  // the library answers unk for unknown pieces
  return id;
}

std::string SentencePieceTokenizer::token(int64_t id) const {
  return id >= 0 && id < size() ? processor_->IdToPiece(static_cast<int>(id)) : std::string();
}

int64_t SentencePieceTokenizer::size() const { return processor_->GetPieceSize(); }

}  // namespace mmada
