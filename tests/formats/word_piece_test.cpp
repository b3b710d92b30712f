// SPDX-License-Identifier: MIT
#include "mmada/formats/word_piece.h"

#include <catch2/catch.hpp>
#include <fstream>

using namespace mmada;
using Catch::Matchers::Contains;
using Ids = std::vector<int64_t>;

namespace {

const std::string kMarks = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

/// The marks, then ids from 5 on.
WordPiece words(const std::string& tokens) { return WordPiece(kMarks + tokens, "vocab.txt"); }

}  // namespace

TEST_CASE("a word is the longest pieces from its front") {
  const WordPiece piece = words("un\n##aff\n##able\nunaff\n##a\n##b");
  CHECK(piece.size() == 11);
  CHECK(piece.token_id("##able") == 7);
  CHECK_FALSE(piece.token_id("able"));
  CHECK(piece.encode("unaffable") == Ids{8, 7});
  CHECK(piece.encode("unab") == Ids{5, 9, 10});
  CHECK(piece.encode("affable un") == Ids{1, 5});  // no piece begins it: the whole word is unknown
}

TEST_CASE("a word of more than a hundred characters is unknown whatever its pieces") {
  const WordPiece piece = words("a\n##a\n\xc3\xb8\n##\xc3\xb8\n");
  CHECK(piece.encode(std::string(100, 'a')).size() == 100);
  CHECK(piece.encode(std::string(101, 'a') + " a") == Ids{1, 5});
  std::string hundred;  // characters, not bytes
  for (int i = 0; i < 100; ++i) hundred += "\xc3\xb8";
  CHECK(piece.encode(hundred).size() == 100);
}

TEST_CASE("case, accents and controls do not count, punctuation and ideographs stand alone") {
  const WordPiece piece = words("cafe\n!\n$\n\u4e2d\n\u30ab");
  CHECK(piece.encode("CAF\u00c9 cafe\u0301 ca\x01"
                     "fe\u200d") == Ids{5, 5, 5});
  CHECK(piece.encode("cafe!$cafe\t\u3000!") == Ids{5, 6, 7, 5, 6});
  CHECK(piece.encode("\u4e2d\u4e2d\u30ab") == Ids{8, 8, 9});
  CHECK(piece.encode("ca\xff"
                     "fe \xff") == Ids{5});
  CHECK(piece.encode(" \n").empty());
}

TEST_CASE("marks written in the text are recognised, in their own case only") {
  const WordPiece piece = words("a\n[\n]\nsep");
  CHECK(piece.encode("a[SEP]a [MASK]") == Ids{5, 3, 5, 4});
  CHECK(piece.encode("[sep]") == Ids{6, 8, 7});
}

TEST_CASE("a bad vocabulary is one error with its line") {
  CHECK_THROWS_WITH(words("a\n\nb"), Contains("vocab.txt: line 7: found an empty line, expected a token"));
  CHECK_THROWS_WITH(words("a\nb\na\n"), Contains("vocab.txt: line 8: found \"a\" a second time"));
  CHECK_THROWS_WITH(WordPiece("[PAD]\n[UNK]\n[CLS]\n[MASK]\n", "v"), Contains("v: found no token [SEP]"));
  CHECK_THROWS_WITH(WordPiece("", "v"), Contains("v: found no token [PAD]"));
  const std::string path = std::string(MMADA_TEST_TMP) + "/no_such_vocab.txt";
  CHECK_THROWS_WITH(WordPiece::load(path), Contains("no_such_vocab.txt"));
}
