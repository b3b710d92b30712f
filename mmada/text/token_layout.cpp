// SPDX-License-Identifier: MIT
#include "mmada/text/token_layout.h"

#include <initializer_list>

#include "mmada/text/tokenizer.h"

namespace mmada {
namespace {

constexpr int64_t kMmadaVocabulary = 134656;
constexpr int64_t kLladaVocabulary = 126464;
constexpr int64_t kPublishedImageOffset = 126349;
constexpr int64_t kPublishedCodebook = 8192;

/// SPEC 3.1's table, which is the only place where these ids are written.
struct Special {
  int64_t TokenLayout::*id;
  const char* name;  ///< key in config.json's special_token_ids
  const char* token;
  int64_t published;
};
constexpr Special kSpecials[] = {
    {&TokenLayout::bos, "bos", "<|startoftext|>", 126080},
    {&TokenLayout::eos, "eos", "<|endoftext|>", 126081},
    {&TokenLayout::mask, "mask", "<|mdm_mask|>", 126336},
    {&TokenLayout::soi, "soi", "<|soi|>", 126084},
    {&TokenLayout::eoi, "eoi", "<|eoi|>", 126085},
    {&TokenLayout::t2i, "t2i", "<|t2i|>", 126088},
    {&TokenLayout::mmu, "mmu", "<|mmu|>", 126089},
    {&TokenLayout::r2i, "r2i", "<|r2i|>", 126094},
    {&TokenLayout::image_pad, "image_pad", "[iPAD]", 126093},
    {&TokenLayout::start_header, "start_header", "<|start_header_id|>", 126346},
    {&TokenLayout::end_header, "end_header", "<|end_header_id|>", 126347},
    {&TokenLayout::eot, "eot", "<|eot_id|>", 126348},
};

/// Config keys with an id of their own; they have to agree with the tokenizer.
const char* config_key(const Special& special) {
  if (special.id == &TokenLayout::mask) return "mask_token_id";
  if (special.id == &TokenLayout::eos) return "eos_token_id";
  return nullptr;
}

void read_special_ids(Fields& config, const Tokenizer* tokenizer, const std::string& source,
                      TokenLayout& layout) {
  const bool published = layout.vocab_size == kMmadaVocabulary || layout.vocab_size == kLladaVocabulary;
  Fields named = config.object("special_token_ids");
  for (const Special& special : kSpecials) {
    const int64_t highest = layout.vocab_size - 1;
    int64_t id = named.integer(special.name, -1, highest, -1);
    if (const char* key = config_key(special); key != nullptr && id < 0)
      id = config.integer(key, -1, highest, -1);
    const auto token = tokenizer != nullptr ? tokenizer->token_id(special.token) : std::nullopt;
    MMADA_CHECK(!token || id < 0 || id == *token, source, ": ", special.name, ": found id ", id,
                ", expected ", token.value_or(-1), ", which the tokenizer has for ", special.token);
    layout.*special.id = token ? *token : id >= 0 ? id : published ? special.published : -1;
  }
  named.finish();
}

void read_image_offset(Fields& config, const Tokenizer* tokenizer, TokenLayout& layout) {
  const bool published = layout.vocab_size == kMmadaVocabulary;
  layout.codebook_size =
      config.integer("codebook_size", 0, layout.vocab_size, published ? kPublishedCodebook : 0);
  const int64_t named = config.integer("image_token_offset", 0, layout.vocab_size, -1);
  if (layout.codebook_size == 0) return;
  layout.image_token_offset = named >= 0             ? named
                              : tokenizer != nullptr ? tokenizer->size()
                              : published            ? kPublishedImageOffset
                                                     : -1;
}

void validate(const TokenLayout& layout, const std::string& source) {
  const int64_t codes_end = layout.image_token_offset + layout.codebook_size;
  MMADA_CHECK(!layout.has_images() || codes_end <= layout.vocab_size, source, ": found image codes ",
              layout.image_token_offset, " to ", codes_end - 1, ", expected them below vocab_size ",
              layout.vocab_size);
  for (const Special& special : kSpecials) {
    const int64_t id = layout.*special.id;
    if (id < 0) continue;
    MMADA_CHECK(id < layout.vocab_size, source, ": ", special.token, ": found id ", id,
                ", expected one below vocab_size ", layout.vocab_size);
    MMADA_CHECK(!layout.has_images() || !layout.code_window().contains(id), source, ": ", special.token,
                ": found id ", id, ", expected one outside the image codes ", layout.image_token_offset,
                " to ", codes_end - 1);
    for (const Special& other : kSpecials)
      MMADA_CHECK(&other == &special || layout.*other.id != id, source, ": found id ", id, " for both ",
                  special.token, " and ", other.token, ", expected different ids");
  }
}

void require(const TokenLayout& layout, const char* task, std::initializer_list<int64_t TokenLayout::*> ids) {
  std::string missing;
  for (const Special& special : kSpecials)
    for (const auto id : ids)
      if (id == special.id && layout.*id < 0)
        missing += cat(missing.empty() ? "" : ", ", special.token, " (", special.name, ')');
  MMADA_CHECK(missing.empty(), task, ": found no id for ", missing,
              ", expected them in the tokenizer or under config.json's special_token_ids");
}

}  // namespace

Window TokenLayout::text_window() const { return {0, has_images() ? image_token_offset : vocab_size}; }

Window TokenLayout::code_window() const {
  MMADA_CHECK(
      has_images(),
      "image codes: found none in this model, expected config.json's codebook_size and image_token_offset");
  return {image_token_offset, image_token_offset + codebook_size};
}

std::vector<std::pair<std::string, int64_t>> TokenLayout::special_ids() const {
  std::vector<std::pair<std::string, int64_t>> ids;
  for (const Special& special : kSpecials)
    if (this->*special.id >= 0) ids.emplace_back(special.name, this->*special.id);
  return ids;
}

void TokenLayout::require_text() const { require(*this, "text", {&TokenLayout::mask, &TokenLayout::eos}); }

void TokenLayout::require_chat() const {
  require(*this, "chat",
          {&TokenLayout::mask, &TokenLayout::eos, &TokenLayout::bos, &TokenLayout::start_header,
           &TokenLayout::end_header, &TokenLayout::eot});
}

void TokenLayout::require_images() const {
  code_window();
  require(*this, "images", {&TokenLayout::mask, &TokenLayout::soi, &TokenLayout::eoi});
}

void TokenLayout::require_t2i() const {
  code_window();
  require(*this, "text to image",
          {&TokenLayout::mask, &TokenLayout::soi, &TokenLayout::eoi, &TokenLayout::bos, &TokenLayout::eos,
           &TokenLayout::t2i, &TokenLayout::image_pad});
}

void TokenLayout::require_mmu() const {
  code_window();
  require(*this, "image understanding",
          {&TokenLayout::mask, &TokenLayout::soi, &TokenLayout::eoi, &TokenLayout::bos, &TokenLayout::eos,
           &TokenLayout::mmu});
}

TokenLayout make_token_layout(const Json& config, const Tokenizer* tokenizer, const std::string& source) {
  Fields fields(config, source);
  TokenLayout layout;
  layout.vocab_size = fields.integer("vocab_size", 1, INT32_MAX);
  MMADA_CHECK(tokenizer == nullptr || tokenizer->size() <= layout.vocab_size, source,
              ": field `vocab_size`: found ", layout.vocab_size, ", expected at least the tokenizer's ",
              tokenizer == nullptr ? 0 : tokenizer->size());
  read_special_ids(fields, tokenizer, source, layout);
  read_image_offset(fields, tokenizer, layout);
  validate(layout, source);
  return layout;
}

}  // namespace mmada
