// SPDX-License-Identifier: MIT
#include "mmada/core/json.h"

#include <catch2/catch.hpp>
#include <chrono>

using namespace mmada;
using Catch::Matchers::Contains;

TEST_CASE("json refuses duplicate keys, deep nesting, wide integers and trailing text") {
  CHECK_THROWS_WITH(parse_json(R"({"a":1,"a":2})", "f"), Contains("\"a\" appears twice"));
  CHECK_THROWS_WITH(parse_json(std::string(100, '['), "f"), Contains("deeper than the 64 levels"));
  CHECK_THROWS_WITH(parse_json("18446744073709551616", "f"), Contains("does not fit"));
  CHECK_THROWS_WITH(parse_json("1e999", "f"), Contains("f: "));
  CHECK_THROWS_WITH(parse_json("{} {}", "f"), Contains("not valid JSON"));
  CHECK_THROWS_WITH(parse_json("\"\xff\"", "f"), Contains("not valid JSON"));
  CHECK_THROWS_WITH(parse_json("", "f"), Contains("not valid JSON"));
}

TEST_CASE("json keeps values, order and nesting") {
  const Json json = parse_json(R"({"b":[1,{"c":null}],"a":-2.5e3,"s":"\u00e9"})", "f");
  CHECK(json.dump() == "{\"b\":[1,{\"c\":null}],\"a\":-2500.0,\"s\":\"\u00e9\"}");
}

TEST_CASE("comments are allowed only where asked for") {
  CHECK_THROWS_AS(parse_json("{} // x", "f"), Error);
  CHECK(parse_json("{} // x", "f", {.comments = true}).empty());
}

TEST_CASE("fields name the source, the path, what was found and what was expected") {
  const Json json = parse_json(R"({"outer":{"n":7,"name":"cosin","flag":1}})", "c.json");
  Fields root(json, "c.json");
  Fields outer = root.object("outer");
  CHECK_THROWS_WITH(outer.integer("n", 0, 5),
                    "c.json: field `outer.n`: found 7, expected an integer from 0 to 5");
  CHECK_THROWS_WITH(outer.choice("name", {"cosine", "linear"}), Contains("did you mean \"cosine\""));
  CHECK_THROWS_WITH(outer.boolean("flag"), Contains("expected true or false"));
  CHECK_THROWS_WITH(outer.string("missing"), Contains("found nothing"));
}

TEST_CASE("unknown fields are errors that name the nearest known one") {
  const Json json = parse_json(R"({"n_layer":7})", "c.json");
  Fields fields(json, "c.json");
  fields.integer("n_layers", 1, 9, 2);
  CHECK_THROWS_WITH(fields.finish(), "c.json: unknown field `n_layer`, did you mean `n_layers`?");
}

TEST_CASE("text behind a NUL is seen, and its place named") {
  CHECK_THROWS_WITH(parse_json(std::string_view("{}\0 hidden", 10), "f"),
                    Contains("f: not valid JSON at byte 2") && Contains("NUL"));
  CHECK(parse_json(R"("a\u0000b")", "f") == std::string("a\0b", 3));
}

TEST_CASE("a duplicate is found wherever it stands") {
  CHECK_THROWS_WITH(parse_json(R"({"b":1,"a":{"x":1},"c":2,"b":3})", "f"), Contains("\"b\" appears twice"));
  CHECK_THROWS_WITH(parse_json(R"([{"a":1},{"x":1,"x":2}])", "f"), Contains("\"x\" appears twice"));
  CHECK_THROWS_WITH(parse_json(R"({"a":1,"\u0061":2})", "f"), Contains("\"a\" appears twice"));
  CHECK(parse_json(R"([{"a":1},{"a":2}])", "f").size() == 2);
}

TEST_CASE("an object of 200,000 keys parses in a moment") {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += cat(i ? "," : "", "\"key", i, "\":", i);
  const auto begin = std::chrono::steady_clock::now();
  const Json json = parse_json(text + "}", "f");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  CHECK(json.size() == 200000);
  CHECK(json.back() == 199999);
  CHECK(took.count() < 5);  // quadratic time would be about a minute
}

TEST_CASE("the number of values and the length of the text are bounded") {
  CHECK_THROWS_WITH(parse_json("[1,2,3]", "f", {.max_values = 3}),
                    Contains("f: found more than 3 JSON values"));
  CHECK(parse_json("[1,2,3]", "f", {.max_values = 4}).size() == 3);
  CHECK_THROWS_WITH(parse_json("[1,2,3]", "f", {.max_bytes = 6}),
                    Contains("f: 7 bytes of JSON, expected at most 6"));
}

TEST_CASE("messages stay short and cannot drive a terminal") {
  const auto message_of = [](const std::string& text) {
    try {
      const Json json = parse_json(text, "f");
      Fields fields(json, "f");
      fields.integer("n", 0, 9, 1);
      fields.finish();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string filler(10000, 'x');
  for (const auto& text : {"\"" + filler, "{\"" + filler + "\":1}", "{\"n\":\"" + filler + "\"}"}) {
    CHECK_FALSE(message_of(text).empty());
    CHECK(message_of(text).size() < 400);
  }
  CHECK_THAT(message_of("{\"n\":\"\\u001b[2J\"}"), Contains("\\x1b[2J"));
  CHECK_THAT(message_of("{\"\\u001b[2J\":1}"), Contains("\\x1b[2J"));
  CHECK_THAT(message_of("\"\xff\xfe"), Contains("\\xff"));
}
