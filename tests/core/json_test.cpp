// SPDX-License-Identifier: MIT
#include "mmada/core/json.h"

#include <catch2/catch.hpp>

using namespace mmada;
using Catch::Matchers::Contains;

TEST_CASE("json refuses duplicate keys, deep nesting, wide integers and trailing text") {
  CHECK_THROWS_WITH(parse_json(R"({"a":1,"a":2})", "f"), Contains("\"a\" appears twice"));
  CHECK_THROWS_WITH(parse_json(std::string(100, '['), "f"), Contains("deeper than 64"));
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
