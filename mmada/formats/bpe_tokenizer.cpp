// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_tokenizer.h"

#include <mutex>

#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/bpe_added_tokens.h"
#include "mmada/formats/bpe_decoder.h"
#include "mmada/formats/bpe_model.h"
#include "mmada/formats/bpe_normalizer.h"
#include "mmada/formats/bpe_pretokenizer.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada {
namespace {

using namespace bpe;

// The largest published vocabularies have 300,000 tokens and 600,000 merges of three values each.
constexpr JsonLimits kJsonLimits = {.max_bytes = 256u << 20, .max_values = 4u << 20};

constexpr size_t kMaxTextBytes = 256u << 20;  // positions in a word are 32 bits

/// What one encode call works with. Calls borrow one and give it back, so the word cache outlives them.
struct EncodeState {
  Scratch scratch;
  MergeScratch merge;
  Pieces pieces;
  std::string valid;
  std::string normalized;
  std::vector<Segment> raw_segments;
  std::vector<Segment> segments;
};

class StatePool {
 public:
  std::unique_ptr<EncodeState> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncodeState>();
    auto state = std::move(free_.back());
    free_.pop_back();
    return state;
  }
  void give(std::unique_ptr<EncodeState> state) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(state));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeState>> free_;
};

}  // namespace

struct BpeTokenizer::Parts {
  Parts(Fields& file, const std::string& source)
      : normalizer(make_normalizer(file.raw("normalizer"), {source, "normalizer"})),
        pretokenizer(file.raw("pre_tokenizer"), {source, "pre_tokenizer"}),
        model(file.raw("model"), {source, "model"}, pretokenizer.byte_units()),
        decoder(make_decoder(file.raw("decoder"), {source, "decoder"})),
        added(file.raw("added_tokens"), {source, "added_tokens"}, normalizer.get()) {
    name_ids(source);
  }

  void name_ids(const std::string& source);
  void encode(std::string_view text, EncodeState& state, std::vector<int64_t>& out) const;
  void encode_segment(std::string_view text, EncodeState& state, std::vector<int64_t>& out) const;

  std::unique_ptr<Normalizer> normalizer;
  PreTokenizer pretokenizer;
  Model model;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added;
  std::vector<std::string> tokens;  // by id
  std::vector<bool> special;        // by id
  Vocabulary added_ids;
  std::unordered_map<int64_t, std::string>
      respelled;  // added tokens that decode writes in normalized spelling
  mutable StatePool pool;
};

/// Fills tokens and special; every id from 0 to the highest has exactly one token.
void BpeTokenizer::Parts::name_ids(const std::string& source) {
  const auto& vocabulary = model.vocabulary();
  const size_t most = vocabulary.size() + added.tokens().size();
  std::vector<bool> named(most, false);
  tokens.resize(most);
  special.resize(most, false);
  size_t count = 0;
  const auto name = [&](const std::string& token, int64_t id) {
    MMADA_CHECK(static_cast<size_t>(id) < most, source, ": token ", quote(token), ": found id ", id,
                ", expected ids without gaps, at most ", most - 1);
    MMADA_CHECK(!named[id], source, ": id ", id, ": found both ", quote(tokens[id]), " and ", quote(token),
                ", expected one token");
    named[id] = true;
    tokens[id] = token;
    ++count;
  };
  for (const auto& [token, id] : vocabulary) name(token, id);
  for (const auto& token : added.tokens()) {
    const auto known = vocabulary.find(token.content);
    if (known == vocabulary.end()) name(token.content, token.id);
    MMADA_CHECK(known == vocabulary.end() || known->second == token.id, source,
                ": field `added_tokens`: token ", quote(token.content), ": found id ", token.id,
                ", expected ", known == vocabulary.end() ? -1 : known->second, ", its id in the vocabulary");
    special[token.id] = token.special;
    if (token.spelling != token.content) respelled.emplace(token.id, token.spelling);
    added_ids.emplace(token.content, static_cast<int32_t>(token.id));
  }
  for (size_t id = 0; id < count; ++id)
    MMADA_CHECK(named[id], source, ": found no token with id ", id, ", expected ids 0 to ", count - 1,
                " without gaps");
  tokens.resize(count);
  special.resize(count);
}

void BpeTokenizer::Parts::encode_segment(std::string_view text, EncodeState& state,
                                         std::vector<int64_t>& out) const {
  state.pieces.text.assign(text);
  state.pieces.ranges.assign(1, {0, text.size()});
  pretokenizer.apply(state.pieces, state.scratch);
  for (const Range piece : state.pieces.ranges) model.encode(state.pieces.view(piece), out, state.merge);
}

void BpeTokenizer::Parts::encode(std::string_view text, EncodeState& state, std::vector<int64_t>& out) const {
  if (valid_utf8_prefix(text) != text.size()) {
    state.valid = to_valid_utf8(text);
    text = state.valid;
  }
  state.raw_segments.clear();
  added.raw().split(text, added.tokens(), state.raw_segments);
  for (const Segment raw : state.raw_segments) {
    if (raw.id >= 0) {
      out.push_back(raw.id);
      continue;
    }
    std::string_view part = text.substr(raw.range.begin, raw.range.end - raw.range.begin);
    if (normalizer) {
      state.normalized.assign(part);
      state.scratch.max_bytes = max_grown_bytes(part.size());
      normalizer->apply(state.normalized, state.scratch);
      part = state.normalized;
    }
    state.segments.clear();
    added.normalized().split(part, added.tokens(), state.segments);
    for (const Segment segment : state.segments) {
      if (segment.id >= 0) {
        out.push_back(segment.id);
      } else {
        encode_segment(part.substr(segment.range.begin, segment.range.end - segment.range.begin), state, out);
      }
    }
  }
}

BpeTokenizer::BpeTokenizer(std::string_view text, const std::string& source) {
  const Json json = parse_json(text, source, kJsonLimits);
  Fields file(json, source);
  file.choice("version", {"1.0"}, "1.0");
  for (const char* unread : {"truncation", "padding", "post_processor"}) file.ignore(unread);
  parts_ = std::make_unique<const Parts>(file, source);
  file.finish();
}

BpeTokenizer BpeTokenizer::load(const std::string& path) {
  return BpeTokenizer(read_file(path, kJsonLimits.max_bytes), path);
}
BpeTokenizer::~BpeTokenizer() = default;
BpeTokenizer::BpeTokenizer(BpeTokenizer&&) noexcept = default;
BpeTokenizer& BpeTokenizer::operator=(BpeTokenizer&&) noexcept = default;

std::vector<int64_t> BpeTokenizer::encode(std::string_view text) const {
  MMADA_CHECK(text.size() <= kMaxTextBytes, "text: found ", text.size(), " bytes, expected at most ",
              kMaxTextBytes);
  std::vector<int64_t> ids;
  auto state = parts_->pool.take();
  state->scratch.regex.allow(text.size());
  parts_->encode(text, *state, ids);
  parts_->pool.give(std::move(state));
  return ids;
}

std::string BpeTokenizer::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    MMADA_CHECK(ids[i] >= 0 && ids[i] < size(), "token ", i, ": found id ", ids[i],
                ", expected an id from 0 to ", size() - 1);
    if (skip_special && parts_->special[ids[i]]) continue;
    const auto respelled = parts_->respelled.find(ids[i]);
    tokens.push_back(respelled == parts_->respelled.end() ? parts_->tokens[ids[i]] : respelled->second);
  }
  std::string text;
  size_t bytes = 0;
  for (const auto& part : tokens) bytes += part.size();
  for (const auto& part : parts_->decoder->apply(std::move(tokens), max_grown_bytes(bytes))) text += part;
  return text;
}

std::optional<int64_t> BpeTokenizer::token_id(std::string_view token) const {
  for (const Vocabulary* ids : {&parts_->added_ids, &parts_->model.vocabulary()})
    if (const auto found = ids->find(token); found != ids->end()) return found->second;
  return std::nullopt;
}

std::string BpeTokenizer::token(int64_t id) const {
  return id >= 0 && id < size() ? parts_->tokens[id] : std::string();
}
bool BpeTokenizer::is_special(int64_t id) const { return id >= 0 && id < size() && parts_->special[id]; }
int64_t BpeTokenizer::size() const { return static_cast<int64_t>(parts_->tokens.size()); }

}  // namespace mmada
