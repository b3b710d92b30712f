// SPDX-License-Identifier: MIT
#include "mmada/text/token_layout.h"

#include <catch2/catch.hpp>
#include <map>

#include "mmada/core/check.h"
#include "mmada/text/tokenizer.h"

using namespace mmada;
using Catch::Matchers::Contains;

namespace {

/// A tokenizer that knows the given tokens and a size.
class FakeTokenizer final : public Tokenizer {
 public:
  FakeTokenizer(std::map<std::string, int64_t, std::less<>> tokens, int64_t size)
      : tokens_(std::move(tokens)), size_(size) {}
  TokenIds encode(std::string_view) const override { return {}; }
  std::string decode(const TokenIds&, bool) const override { return {}; }
  std::optional<int64_t> token_id(std::string_view token) const override {
    const auto found = tokens_.find(token);
    return found == tokens_.end() ? std::nullopt : std::optional(found->second);
  }
  std::string token(int64_t) const override { return {}; }
  int64_t size() const override { return size_; }

 private:
  std::map<std::string, int64_t, std::less<>> tokens_;
  int64_t size_;
};

TokenLayout layout_of(const char* config, const Tokenizer* tokenizer = nullptr) {
  return make_token_layout(parse_json(config, "config.json"), tokenizer, "config.json");
}

std::string error_of(const char* config, const Tokenizer* tokenizer = nullptr) {
  try {
    layout_of(config, tokenizer);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a published vocabulary without a tokenizer takes the published table") {
  const TokenLayout layout =
      layout_of(R"({"vocab_size": 134656, "codebook_size": 8192, "llm_vocab_size": 126464})");
  CHECK(layout.bos == 126080);
  CHECK(layout.eos == 126081);
  CHECK(layout.mask == 126336);
  CHECK(layout.soi == 126084);
  CHECK(layout.eoi == 126085);
  CHECK(layout.t2i == 126088);
  CHECK(layout.mmu == 126089);
  CHECK(layout.r2i == 126094);
  CHECK(layout.image_pad == 126093);
  CHECK(layout.start_header == 126346);
  CHECK(layout.end_header == 126347);
  CHECK(layout.eot == 126348);
  CHECK(layout.code_window() == Window{126349, 134541});
  CHECK(layout.text_window() == Window{0, 126349});
  CHECK(layout.full_window() == Window{0, 134656});
  CHECK(layout == layout_of(R"({"vocab_size": 134656})"));
}

TEST_CASE("LLaDA has the published text ids, every id as text, and no images") {
  const TokenLayout layout =
      layout_of(R"({"vocab_size": 126464, "mask_token_id": 126336, "eos_token_id": 126081})");
  CHECK(layout.mask == 126336);
  CHECK_FALSE(layout.has_images());
  CHECK(layout.text_window() == Window{0, 126464});
  CHECK_NOTHROW(layout.require_chat());
  CHECK_THROWS_WITH(layout.require_t2i(),
                    Contains("image codes: found none") && Contains("image_token_offset"));
  CHECK_THROWS_WITH(layout.code_window(), Contains("image codes: found none"));
}

TEST_CASE("LLaDA's own tokenizer, which lacks the image tokens' names, leaves them to the table") {
  const FakeTokenizer llada({{"<|startoftext|>", 126080},
                             {"<|endoftext|>", 126081},
                             {"<|reserved_token_0|>", 126084},
                             {"<|mdm_mask|>", 126336},
                             {"<|start_header_id|>", 126346},
                             {"<|end_header_id|>", 126347},
                             {"<|eot_id|>", 126348}},
                            126349);
  CHECK(layout_of(R"({"vocab_size": 134656, "codebook_size": 8192})", &llada) ==
        layout_of(R"({"vocab_size": 134656})"));
}

TEST_CASE("a small checkpoint without a tokenizer has what its config names") {
  const TokenLayout layout = layout_of(R"({"vocab_size": 512, "mask_token_id": 380, "eos_token_id": 381,
      "pad_token_id": 381, "llm_vocab_size": 384, "codebook_size": 128, "image_token_offset": 384})");
  CHECK(layout.mask == 380);
  CHECK(layout.eos == 381);
  CHECK(layout.bos == -1);
  CHECK(layout.soi == -1);
  CHECK(layout.code_window() == Window{384, 512});
  CHECK_NOTHROW(layout.require_text());
  CHECK_THROWS_WITH(layout.require_images(), Contains("found no id for <|soi|> (soi), <|eoi|> (eoi)") &&
                                                 Contains("special_token_ids"));
  CHECK_THROWS_WITH(layout.require_chat(), Contains("<|startoftext|> (bos)"));
}

TEST_CASE("the tokenizer's tokens come first, then special_token_ids, and its length is the image offset") {
  const FakeTokenizer pocket({{"<|startoftext|>", 0}, {"<|mdm_mask|>", 2}}, 300);
  const TokenLayout layout = layout_of(
      R"({"vocab_size": 364, "codebook_size": 64, "special_token_ids": {"eos": 1, "soi": 7, "image_pad": 9}})",
      &pocket);
  CHECK(layout.bos == 0);
  CHECK(layout.eos == 1);
  CHECK(layout.mask == 2);
  CHECK(layout.soi == 7);
  CHECK(layout.image_pad == 9);
  CHECK(layout.code_window() == Window{300, 364});
  const TokenLayout moved =
      layout_of(R"({"vocab_size": 400, "codebook_size": 64, "image_token_offset": 310})", &pocket);
  CHECK(moved.code_window() == Window{310, 374});
}

TEST_CASE("without an offset from config, tokenizer or table, image tasks are refused") {
  const TokenLayout layout = layout_of(R"({"vocab_size": 512, "codebook_size": 128, "llm_vocab_size": 384})");
  CHECK_FALSE(layout.has_images());
  CHECK_THROWS_WITH(layout.require_mmu(), Contains("image codes: found none"));
}

TEST_CASE("contradictory ids are one clear error") {
  const FakeTokenizer pocket({{"<|mdm_mask|>", 2}}, 300);
  CHECK_THAT(
      error_of(
          R"({"vocab_size": 512, "codebook_size": 128, "image_token_offset": 380, "mask_token_id": 380})"),
      Contains("config.json: <|mdm_mask|>: found id 380, expected one outside the image codes 380 to 507"));
  CHECK_THAT(error_of(R"({"vocab_size": 512, "codebook_size": 128, "image_token_offset": 400})"),
             Contains("found image codes 400 to 527, expected them below vocab_size 512"));
  CHECK_THAT(error_of(R"({"vocab_size": 512, "mask_token_id": 512})"),
             Contains("field `mask_token_id`: found 512, expected an integer from -1 to 511"));
  CHECK_THAT(error_of(R"({"vocab_size": 512, "mask_token_id": 3, "eos_token_id": 3})"),
             Contains("found id 3 for both <|endoftext|> and <|mdm_mask|>"));
  CHECK_THAT(error_of(R"({"vocab_size": 512, "special_token_ids": {"mesk": 3}})"),
             Contains("unknown field `special_token_ids.mesk`, did you mean `mask`"));
  CHECK_THAT(error_of(R"({"vocab_size": 512, "mask_token_id": 5})", &pocket),
             Contains("mask: found id 5, expected 2, which the tokenizer has for <|mdm_mask|>"));
  CHECK_THAT(error_of(R"({"vocab_size": 200})", &pocket),
             Contains("field `vocab_size`: found 200, expected at least"));
  CHECK_THAT(error_of(R"({"codebook_size": 3})"), Contains("field `vocab_size`: found nothing"));
  CHECK_THAT(error_of("[]"), Contains("expected an object"));
}
