// SPDX-License-Identifier: MIT
// tokenizer.json: a file is refused, or its tokenizer encodes and decodes any text with ids of its
// vocabulary.
#include <string>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

namespace {

/// Texts that meet every kind of step: words, runs, numbers, other scripts, marks, added tokens, bytes that
/// are no text.
const std::string kTexts[] = {
    "",
    "It's a test, isn't it? abab ab\n\n  12345",
    std::string(40, 'a'),
    std::string(20, ' ') + "<|x|>\t\r\n",
    "\xC3\xA9\x65\xCC\x81 \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80 \xEF\xAC\x81",
    std::string("\0\xFF\xC3\x28\xE2\x82", 6),
};

void use(const BpeTokenizer& tokenizer) {
  for (int64_t id = 0; id < tokenizer.size(); ++id)
    promise(tokenizer.token_id(tokenizer.token(id)) == id, "every id has one token");
  for (const auto& text : kTexts) {
    const auto ids = tokenizer.encode(text);
    for (const int64_t id : ids) promise(id >= 0 && id < tokenizer.size(), "ids are of the vocabulary");
    promise(tokenizer.encode(text) == ids, "encoding twice gives the same");
    promise(is_utf8(tokenizer.decode(ids)), "decoded text is UTF-8");
    tokenizer.decode(ids, false);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    use(BpeTokenizer(fuzz::text_of(data, size), "tokenizer.json"));
  } catch (const Error&) {
  }
  return 0;
}
