// SPDX-License-Identifier: MIT
#include "mmada/model/transformer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>

#include "mmada/model/checkpoint.h"
#include "mmada/model/tensor_file.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

const std::string kData = MMADA_TEST_DATA;

TransformerConfig small_config(int64_t layers = 2) {
  TransformerConfig config;
  config.d_model = 24;
  config.n_layers = layers;
  config.n_heads = 3;
  config.n_kv_heads = 3;
  config.mlp_hidden_size = 40;
  config.vocab_size = 50;
  return config;
}

Transformer random_transformer(const TransformerConfig& config, at::ScalarType type = at::kFloat) {
  Transformer model(config, at::TensorOptions().dtype(type));
  initialize(model, {.embedding_std = 1.0, .seed = 5});
  return model;
}

Transformer golden_transformer() {
  const std::string directory = kData + "/tiny_mmada";
  const Json json = read_json_file(directory + "/config.json");
  Transformer model(parse_transformer_config(json, "config.json"), at::kFloat);
  std::vector<TensorSlot> slots;
  for (const NamedParameter& parameter : model.parameters())
    slots.push_back({parameter.name, parameter.tensor});
  load_tensors(directory, slots, "model.");
  return model;
}

at::Tensor random_ids(int64_t rows, int64_t tokens, int64_t vocabulary) {
  at::Tensor ids = at::empty({rows, tokens}, at::kLong);
  for (int64_t i = 0; i < ids.numel(); ++i)
    ids.mutable_data_ptr<int64_t>()[i] = (i * 7919 + i * i * 31) % vocabulary;
  return ids;
}

at::Tensor full_logits(const Transformer& model, const RowBatch& rows) {
  return model.logits(model.hidden(rows), {0, model.config().vocab_size});
}

}  // namespace

TEST_CASE("the forward equals the golden logits with everything visible and with padding hidden") {
  const Transformer model = golden_transformer();
  const auto golden = read_tensor_file(kData + "/forward.safetensors");
  const at::Tensor ids = golden.at("input_ids").to(at::kLong);
  const at::Tensor mask = golden.at("attention_mask").to(at::kLong);
  CHECK(max_difference(full_logits(model, {ids, {}, AttentionMode::kNone}), golden.at("logits")) < 2e-5);

  std::vector<Span> valid;
  for (int64_t b = 0; b < 2; ++b) valid.push_back({40 - mask[b].sum().item<int64_t>(), 40});
  REQUIRE(valid[0] == Span{9, 40});
  const at::Tensor hard = full_logits(model, {ids, valid, AttentionMode::kHard});
  for (int64_t b = 0; b < 2; ++b)
    CHECK(max_difference(hard[b].slice(0, valid[b].begin),
                         golden.at("logits_masked")[b].slice(0, valid[b].begin)) < 2e-5);
}

TEST_CASE("hidden states at chosen positions equal those of the full forward in every attention mode") {
  const Transformer model = random_transformer(small_config());
  const at::Tensor ids = random_ids(3, 11, 50);
  const std::vector<Span> valid = {{2, 11}, {0, 11}, {0, 7}};
  const std::vector<std::vector<int64_t>> choices = {
      {0, 5, 10, 11, 16, 21, 22, 27, 32},  // as many in every row
      {3, 4, 30, 12, 5},                   // ragged and out of order
      {9},                                 // one row alone
      {20, 20, 1},                         // twice the same
  };
  for (const auto mode : {AttentionMode::kNone, AttentionMode::kAdditiveOne, AttentionMode::kHard})
    for (const auto& chosen : choices) {
      const at::Tensor positions = at::tensor(at::ArrayRef<int64_t>(chosen), at::kLong);
      const at::Tensor full = model.hidden({ids, valid, mode}).flatten(0, 1).index_select(0, positions);
      const at::Tensor partial = model.hidden({ids, valid, mode}, positions);
      REQUIRE(partial.sizes() == full.sizes());
      CHECK(max_difference(partial, full) < 2e-6);
    }
  CHECK(model.hidden({ids, valid}, at::empty({0}, at::kLong)).sizes() == at::IntArrayRef({0, 24}));
}

TEST_CASE("padding of any content leaves valid positions unchanged when it is hidden") {
  const Transformer model = random_transformer(small_config());
  const at::Tensor ids = random_ids(2, 9, 50);
  at::Tensor other = ids.clone();
  other[0].slice(0, 6).fill_(49);
  const std::vector<Span> valid = {{0, 6}, {0, 9}};
  const at::Tensor a = model.hidden({ids, valid}), b = model.hidden({other, valid});
  CHECK(at::equal(a[0].slice(0, 0, 6), b[0].slice(0, 0, 6)));
  CHECK(at::equal(a[1], b[1]));
  CHECK(max_difference(a[0].slice(0, 0, 6), model.hidden({ids.slice(0, 0, 1).slice(1, 0, 6)})[0]) < 2e-6);
  CHECK_FALSE(at::equal(model.hidden({ids, valid, AttentionMode::kNone})[0].slice(0, 0, 6),
                        model.hidden({other, valid, AttentionMode::kNone})[0].slice(0, 0, 6)));
}

TEST_CASE("additive_one equals none where every row is valid, and differs from it where padding is") {
  const Transformer model = random_transformer(small_config());
  const at::Tensor ids = random_ids(2, 9, 50);
  const at::Tensor none = model.hidden({ids, {}, AttentionMode::kNone});
  CHECK(at::equal(model.hidden({ids, {{0, 9}, {0, 9}}, AttentionMode::kAdditiveOne}), none));
  CHECK(max_difference(model.hidden({ids, {{3, 9}, {0, 9}}, AttentionMode::kAdditiveOne})[0], none[0]) >
        1e-3);
  CHECK(max_difference(model.hidden({ids, {{3, 9}, {0, 9}}, AttentionMode::kAdditiveOne})[1], none[1]) <
        2e-6);
}

TEST_CASE("gradients of the partial forward equal those of the full one in every attention mode") {
  for (const auto mode : {AttentionMode::kNone, AttentionMode::kAdditiveOne, AttentionMode::kHard}) {
    const at::Tensor ids = random_ids(3, 8, 50);
    const std::vector<Span> valid = {{2, 8}, {0, 8}, {0, 5}};
    const at::Tensor positions = at::tensor({3, 7, 9, 17, 18, 20}, at::kLong);
    std::vector<at::Tensor> gradients[2];
    for (int partial = 0; partial < 2; ++partial) {
      const Transformer model = random_transformer(small_config());
      for (const NamedParameter& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
      const RowBatch rows{ids, valid, mode};
      const at::Tensor hidden = partial ? model.hidden(rows, positions)
                                        : model.hidden(rows).flatten(0, 1).index_select(0, positions);
      model.logits(hidden, {0, 50}).square().sum().backward();
      for (const NamedParameter& parameter : model.parameters())
        gradients[partial].push_back(parameter.tensor.grad());
    }
    for (size_t i = 0; i < gradients[0].size(); ++i) {
      REQUIRE(gradients[0][i].defined());
      CHECK(max_difference(gradients[0][i], gradients[1][i]) <
            1e-4 * gradients[0][i].abs().max().item<double>());
    }
  }
}

TEST_CASE("packed rows have the hidden states and gradients that each has alone, at positions in any order") {
  const std::vector<int64_t> offsets = {0, 5, 6, 13};
  const at::Tensor ids = random_ids(1, 13, 50);
  const at::Tensor positions = at::tensor({12, 5, 0, 7, 3}, at::kLong);  // of rows 2, 1, 0, 2 and 0
  const auto trained = [](auto&& hidden_of) {
    const Transformer model = random_transformer(small_config());
    for (const NamedParameter& parameter : model.parameters()) parameter.tensor.set_requires_grad(true);
    const at::Tensor hidden = hidden_of(model);
    model.logits(hidden, {0, 50}).square().sum().backward();
    std::vector<at::Tensor> found{hidden.detach()};
    for (const NamedParameter& parameter : model.parameters()) found.push_back(parameter.tensor.grad());
    return found;
  };
  const auto alone = trained([&](const Transformer& model) {
    std::vector<at::Tensor> rows;
    for (size_t b = 1; b < offsets.size(); ++b)
      rows.push_back(model.hidden({ids.slice(1, offsets[b - 1], offsets[b])})[0]);
    return at::cat(rows).index_select(0, positions);
  });
  const RowBatch packed{.ids_BT = ids, .offsets = offsets};
  const auto chosen = trained([&](const Transformer& model) { return model.hidden(packed, positions); });
  const auto all =
      trained([&](const Transformer& model) { return model.hidden(packed)[0].index_select(0, positions); });
  for (size_t i = 0; i < alone.size(); ++i) {
    const double scale = alone[i].abs().max().item<double>();
    CHECK(max_difference(chosen[i], alone[i]) <= 1e-5 * scale);
    CHECK(max_difference(all[i], alone[i]) <= 1e-5 * scale);
  }
}

TEST_CASE("packed rows that leave the batch or are empty are errors") {
  const Transformer model = random_transformer(small_config());
  const at::Tensor ids = random_ids(1, 6, 50);
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{0, 5}, {1, 6}, {0, 3, 3, 6}, {0, 4, 2, 6}, {0, 7}})
    CHECK_THROWS_WITH(model.hidden({.ids_BT = ids, .offsets = offsets}),
                      Catch::Contains("expected rising from 0 to 6"));
  CHECK_THROWS_WITH(model.hidden({.ids_BT = random_ids(2, 6, 50), .offsets = {0, 6}}),
                    Catch::Contains("expected [1, M]"));
  CHECK_THROWS_WITH(model.hidden({.ids_BT = ids, .offsets = {0, 6}}, at::tensor({6}, at::kLong)),
                    Catch::Contains("found position 6"));
}

TEST_CASE("grouped queries equal a model whose key and value heads are written out") {
  TransformerConfig grouped = small_config(1);
  grouped.d_model = 32;
  grouped.n_heads = 4;
  grouped.n_kv_heads = 2;
  TransformerConfig plain = grouped;
  plain.n_kv_heads = 4;
  const Transformer a = random_transformer(grouped), b = random_transformer(plain);
  const auto from = a.parameters(), to = b.parameters();
  for (size_t i = 0; i < from.size(); ++i) {
    const bool repeats = from[i].tensor.sizes() != to[i].tensor.sizes();
    to[i].tensor.copy_(repeats ? from[i].tensor.view({2, 8, 32}).repeat_interleave(2, 0).view({32, 32})
                               : from[i].tensor);
  }
  const at::Tensor ids = random_ids(2, 6, 50);
  CHECK(max_difference(a.hidden({ids}), b.hidden({ids})) < 2e-6);
}

TEST_CASE("low precision stays within its rounding of the fp32 forward") {
  const Transformer wide = random_transformer(small_config());
  for (const auto& [type, tolerance] : {std::pair{at::kBFloat16, 0.06}, std::pair{at::kHalf, 0.01}}) {
    const Transformer narrow = random_transformer(small_config(), type);
    for (size_t i = 0; i < wide.parameters().size(); ++i) {
      narrow.parameters()[i].tensor.copy_(wide.parameters()[i].tensor);
      wide.parameters()[i].tensor.copy_(narrow.parameters()[i].tensor);
    }
    const RowBatch rows{random_ids(2, 9, 50), {{1, 9}, {0, 9}}};
    const at::Tensor hidden = narrow.hidden(rows);
    CHECK(hidden.scalar_type() == type);
    CHECK(max_difference(hidden, wide.hidden(rows)) < tolerance);
  }
}

TEST_CASE("ids, positions, spans and windows out of range are errors that name the range") {
  const Transformer model = random_transformer(small_config());
  const at::Tensor ids = random_ids(2, 6, 50);
  CHECK_THROWS_WITH(model.hidden({at::full({1, 3}, 50, at::kLong)}), Catch::Contains("expected 0 to 49"));
  CHECK_THROWS_WITH(model.hidden({at::full({1, 3}, -1, at::kLong)}), Catch::Contains("from -1"));
  CHECK_THROWS_WITH(model.hidden({ids}, at::tensor({12}, at::kLong)), Catch::Contains("found position 12"));
  CHECK_THROWS_WITH(model.hidden({ids, {{0, 6}}}), Catch::Contains("1 valid spans"));
  CHECK_THROWS_WITH(model.hidden({ids, {{0, 6}, {3, 3}}}), Catch::Contains("[3, 3)"));
  CHECK_THROWS_WITH(model.hidden({ids, {{0, 6}, {0, 7}}}), Catch::Contains("[0, 7)"));
  CHECK_THROWS_WITH(model.head({10, 51}), Catch::Contains("[10, 51)"));
}

}  // namespace mmada
