// SPDX-License-Identifier: MIT
#include <catch2/catch.hpp>

#include "mmada/formats/safetensors.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;

namespace {

/// A tensor's description; every case below changes one thing of a valid header.
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return cat('"', name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets,
             "}");
}

std::string header_of(const std::string& first, const std::string& second = "") {
  return cat("{", first, second.empty() ? "" : ",", second, "}");
}

auto parsing(const std::string& header, uint64_t data_bytes, const Limits& limits = {}) {
  return [=] { parse_safetensors_header(header, data_bytes, "h", nullptr, limits); };
}

}  // namespace

TEST_CASE("entries come back in file order with everything the header says") {
  std::map<std::string, std::string> metadata;
  const std::string header =
      "{\"__metadata__\":{\"k\":\"v\",\"\":\"\"}," + tensor("b", "F32", "[2,1]", "[4,12]") + "," +
      tensor("a", "BF16", "[2]", "[0,4]") + "," + tensor("z", "I64", "[0]", "[4,4]") + "} \n\t ";
  const auto entries = parse_safetensors_header(header, 12, "h", &metadata);
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].name == "a");
  CHECK(entries[0].dtype == DType::kBF16);
  CHECK(entries[1].name == "z");
  CHECK(entries[2].name == "b");
  CHECK(entries[2].shape == std::vector<int64_t>{2, 1});
  CHECK(entries[2].begin == 4);
  CHECK(entries[2].end == 12);
  CHECK(metadata == std::map<std::string, std::string>{{"k", "v"}, {"", ""}});
}

TEST_CASE("scalars, zero-size tensors and an empty header are valid") {
  CHECK(parse_safetensors_header("{}", 0, "h").empty());
  CHECK(parse_safetensors_header("{\"__metadata__\":{}}", 0, "h").empty());
  CHECK(parse_safetensors_header(header_of(tensor("s", "F64", "[]", "[0,8]")), 8, "h").size() == 1);
  CHECK(parse_safetensors_header(header_of(tensor("z", "F64", "[9223372036854775807,0]", "[0,0]")), 0, "h")
            .size() == 1);
}

TEST_CASE("data that overlap, leave holes or leave the file are refused") {
  const auto two = [](const std::string& first, const std::string& second) {
    return header_of(tensor("a", "U8", "[4]", first), tensor("b", "U8", "[4]", second));
  };
  expect_error(parsing(two("[0,4]", "[2,6]"), 6), {"\"b\"", "overlap", "found begin 2", "expected 4"});
  expect_error(parsing(two("[0,4]", "[0,4]"), 4), {"\"b\"", "overlap"});
  expect_error(parsing(two("[0,4]", "[5,9]"), 9), {"\"b\"", "hole", "found begin 5", "expected 4"});
  expect_error(parsing(two("[1,5]", "[5,9]"), 9), {"\"a\"", "hole", "found begin 1", "expected 0"});
  expect_error(parsing(two("[0,4]", "[4,8]"), 7), {"\"b\"", "[4, 8]", "7 data bytes"});
  expect_error(parsing(two("[0,4]", "[4,8]"), 9), {"found 9 data bytes", "expected 8"});
  expect_error(parsing(two("[4,0]", "[4,8]"), 8), {"\"a\"", "[4, 0]", "ascend"});
  expect_error(parsing("{}", 1), {"found 1 data bytes", "expected 0"});
  expect_error(parsing(header_of(tensor("a", "U8", "[1]", "[18446744073709551615,18446744073709551615]")), 8),
               {"8 data bytes"});
}

TEST_CASE("data that differ from shape times dtype are refused, overflow included") {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return header_of(tensor("a", dtype, shape, offsets));
  };
  expect_error(parsing(one("F32", "[2]", "[0,4]"), 4), {"\"a\"", "found 4 bytes", "expected 8", "F32"});
  expect_error(parsing(one("F32", "[]", "[0,0]"), 0), {"found 0 bytes", "expected 4"});
  expect_error(parsing(one("U8", "[0]", "[0,1]"), 1), {"found 1 bytes", "expected 0"});
  expect_error(parsing(one("U8", "[4294967296,4294967296]", "[0,0]"), 0), {"\"a\"", "overflows"});
  expect_error(parsing(one("F64", "[4611686018427387904,2]", "[0,0]"), 0), {"\"a\"", "overflows"});
  expect_error(parsing(one("F64", "[2305843009213693952]", "[0,0]"), 0), {"\"a\"", "overflows"});
  expect_error(parsing(one("U8", "[9223372036854775808]", "[0,0]"), 0),
               {"\"a\"", "9223372036854775808", "2^63-1"});
  expect_error(parsing(one("U8", "[18446744073709551616]", "[0,0]"), 0), {"\"a\"", "18446744073709551616"});
}

TEST_CASE("fields of the wrong kind are refused with what was found and expected") {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return cat("{\"a\":{\"dtype\":", dtype, ",\"shape\":", shape, ",\"data_offsets\":", offsets, "}}");
  };
  expect_error(parsing(one("\"F8_E4M3\"", "[1]", "[0,1]"), 1), {"\"a\"", "dtype \"F8_E4M3\"", "BF16"});
  expect_error(parsing(one("\"f32\"", "[1]", "[0,4]"), 4), {"dtype \"f32\""});
  expect_error(parsing(one("3", "[1]", "[0,1]"), 1), {"found 3", "a dtype name"});
  expect_error(parsing(one("null", "[1]", "[0,1]"), 1), {"found null", "a dtype name"});
  expect_error(parsing(one("[]", "[1]", "[0,1]"), 1), {"found a list", "a dtype name"});
  expect_error(parsing(one("{}", "[1]", "[0,1]"), 1), {"found an object", "a dtype name"});
  expect_error(parsing(one("\"U8\"", "1", "[0,1]"), 1), {"found 1", "a list of dimensions"});
  expect_error(parsing(one("\"U8\"", "[-1]", "[0,1]"), 1), {"found -1", "dimensions from 0"});
  expect_error(parsing(one("\"U8\"", "[1.0]", "[0,1]"), 1), {"found 1.0", "dimensions from 0"});
  expect_error(parsing(one("\"U8\"", "[1e2]", "[0,1]"), 1), {"found 1e2"});
  expect_error(parsing(one("\"U8\"", "[true]", "[0,1]"), 1), {"found true"});
  expect_error(parsing(one("\"U8\"", "[\"1\"]", "[0,1]"), 1), {"found \"1\""});
  expect_error(parsing(one("\"U8\"", "[[1]]", "[0,1]"), 1), {"found a list"});
  expect_error(parsing(one("\"U8\"", "[1]", "[0]"), 1), {"found 1 data_offsets", "expected 2"});
  expect_error(parsing(one("\"U8\"", "[1]", "[]"), 1), {"found 0 data_offsets"});
  expect_error(parsing(one("\"U8\"", "[1]", "[0,1,2]"), 1), {"found 2", "two byte offsets"});
  expect_error(parsing(one("\"U8\"", "[1]", "[-1,1]"), 1), {"found -1", "two byte offsets"});
  expect_error(parsing(one("\"U8\"", "[1]", "\"0,1\""), 1), {"found \"0,1\"", "two byte offsets"});
}

TEST_CASE("missing, unknown and repeated fields are refused") {
  expect_error(parsing(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), {"\"a\"", "no dtype"});
  expect_error(parsing(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), {"\"a\"", "no shape"});
  expect_error(parsing(R"({"a":{"dtype":"U8","shape":[1]}})", 1), {"\"a\"", "no data_offsets"});
  expect_error(parsing(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
               {"\"a\"", "\"dtype\" appears twice"});
  expect_error(parsing(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1),
               {"\"a\"", "unknown field \"x\""});
  const std::string a = tensor("a", "U8", "[0]", "[0,0]");
  expect_error(parsing(header_of(a, a), 0), {"\"a\" appears twice"});
  expect_error(parsing(R"({"__metadata__":{"k":"1","k":"2"}})", 0), {"metadata key \"k\" appears twice"});
  expect_error(parsing(R"({"__metadata__":{},"__metadata__":{}})", 0), {"\"__metadata__\" appears twice"});
}

TEST_CASE("only objects of the right place and strings as metadata are taken") {
  expect_error(parsing(R"({"a":1})", 0), {"key \"a\"", "found 1", "expected an object"});
  expect_error(parsing(R"({"a":[]})", 0), {"found a list", "expected an object"});
  expect_error(parsing(R"({"a":"b"})", 0), {"found \"b\"", "expected an object"});
  expect_error(parsing(R"({"__metadata__":{"k":1}})", 0), {"key \"k\"", "found 1", "metadata strings"});
  expect_error(parsing(R"({"__metadata__":{"k":{}}})", 0), {"found an object", "metadata strings"});
  expect_error(parsing(R"({"__metadata__":{"k":["v"]}})", 0), {"found a list", "metadata strings"});
  expect_error(parsing(R"({"__metadata__":"v"})", 0), {"found \"v\"", "an object"});
}

TEST_CASE("text that is not one JSON object in UTF-8 is refused") {
  expect_error(parsing("", 0), {"starts with \"\"", "expected \"{\""});
  expect_error(parsing(" {}", 0), {"starts with \" \""});
  expect_error(parsing("[]", 0), {"starts with \"[\""});
  expect_error(parsing("\xEF\xBB\xBF{}", 0), {"starts with", "\\xef"});
  expect_error(parsing("{}{}", 0), {"not valid JSON"});
  expect_error(parsing("{} x", 0), {"not valid JSON"});
  expect_error(parsing("{", 0), {"not valid JSON", "byte 2"});
  expect_error(parsing("{\"a\"}", 0), {"not valid JSON"});
  expect_error(parsing("{//c\n}", 0), {"not valid JSON"});
  expect_error(parsing("{\"\xFF\":{}}", 0), {"not valid JSON", "UTF-8"});
  expect_error(parsing("{\"__metadata__\":{\"k\":\"\xED\xA0\x80\"}}", 0), {"not valid JSON", "UTF-8"});
  expect_error(parsing(R"({"\ud800":{}})", 0), {"not valid JSON"});
  expect_error(parsing(std::string("{}\0 hidden", 10), 0), {"NUL at byte 2"});
  expect_error(parsing(R"({"a\u0000b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0),
               {"holds a NUL", "a\\x00b"});
  expect_error(parsing("{\"a\":" + std::string(100000, '['), 0), {"found a list", "expected an object"});
}

TEST_CASE("limits bound the header, its entries, dimensions and strings") {
  const std::string a = tensor("a", "U8", "[0]", "[0,0]"), b = tensor("b", "U8", "[0,1,1]", "[0,0]");
  const std::string both = header_of(a, b);
  Limits limits;
  CHECK(parse_safetensors_header(both, 0, "h", nullptr, limits).size() == 2);
  limits.safetensors_entries = 1;
  expect_error(parsing(both, 0, limits), {"more than 1 tensors"});
  expect_error(parsing(R"({"__metadata__":{"k":"1","l":"2"}})", 0, limits), {"more than 1 metadata pairs"});
  limits = {};
  limits.safetensors_rank = 2;
  expect_error(parsing(both, 0, limits), {"\"b\"", "more than 2 dimensions"});
  limits = {};
  limits.safetensors_string_bytes = 8;
  expect_error(parsing(both, 0, limits), {"string longer than 8 bytes"});
  expect_error(parsing(R"({"\"\"\"\"\"":{}})", 0, limits), {"string longer than 8 bytes"});
  limits = {};
  limits.safetensors_header_bytes = 10;
  expect_error(parsing(both, 0, limits), {"header of", "at most 10"});
}

TEST_CASE("a name in a message is cut and cannot drive a terminal") {
  const std::string long_name = std::string(5000, 'n');
  std::string message;
  try {
    parse_safetensors_header("{\"\\u001b[31m" + long_name + "\":1}", 0, "h");
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK_THAT(message, Catch::Contains("\\x1b[31mnnn") && Catch::Contains("..."));
  CHECK(message.size() < 250);
}
