// SPDX-License-Identifier: MIT
#include "mmada/model/work.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <catch2/catch.hpp>

#include "mmada/generation/generator.h"
#include "tests/support/tiny_model.h"

namespace {

using namespace mmada;

/// FLOPs of the products that ATen really runs, from the shapes of their operands.
struct Recorded {
  int64_t products = 0, attention = 0;
};
Recorded* recorded = nullptr;

std::unique_ptr<at::ObserverContext> record(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto sizes = [&](size_t i) { return call.inputs()[i].toTensor().sizes(); };
  if (name == "mkldnn::_linear_pointwise") recorded->products += 2 * sizes(0)[0] * sizes(0)[1] * sizes(1)[0];
  if (name == "aten::mm") recorded->products += 2 * sizes(0)[0] * sizes(0)[1] * sizes(1)[1];
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu")  // [B, H, P, D] and [B, H, V, D]
    recorded->attention += 4 * sizes(0)[0] * sizes(0)[1] * sizes(0)[2] * sizes(1)[2] * sizes(0)[3];
  return nullptr;
}

template <class Function>
Recorded run_of(Function&& function) {
  Recorded run;
  recorded = &run;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(record).needsInputs(true));
  function();
  at::removeCallback(handle);
  return run;
}

class Meter : public Observer {
 public:
  void on_step(const StepEvent&) override {}
  void on_forward(const Work& work) override { total += work; }
  Work total;
};

/// Runs the requests and compares what was counted with what was run.
void check_work(const std::vector<Request>& requests) {
  Model model;
  model.transformer = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  model.layout.vocab_size = 512, model.layout.bos = 350, model.layout.eos = 381, model.layout.mask = 380;
  model.layout.soi = 351, model.layout.eoi = 352, model.layout.t2i = 353, model.layout.mmu = 354;
  model.layout.image_pad = 356, model.layout.start_header = 357, model.layout.end_header = 358,
  model.layout.eot = 359;
  model.layout.image_token_offset = 384, model.layout.codebook_size = 128;
  Meter meter;
  const Recorded run = run_of([&] { Generator(model).observed({&meter}).batch(requests); });
  CHECK(meter.total.forwards > 0);
  CHECK(meter.total.layer_flops + meter.total.head_flops == run.products);
  CHECK(meter.total.attention_flops == run.attention);
  CHECK(meter.total.head_flops == 2 * model.transformer.config().d_model * meter.total.logits);
}

}  // namespace

TEST_CASE("the work counted is the work done: text, with guidance, and rows of different length together") {
  const TextRequest text{.prompt = {350, 1, 2, 3},
                         .options = {.gen_length = 8, .block_length = 4, .steps = 4}};
  TextRequest guided = text, longer = text;
  guided.options.cfg_scale = 1.5;
  longer.prompt = {350, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  check_work({text});
  check_work({guided});
  check_work({text, longer, guided});
}

TEST_CASE("the work counted is the work done: a guided picture, whose candidates grow fewer") {
  ImageRequest image{.caption = {3, 4}, .codes = {}, .options = {.steps = 4, .guidance_scale = 2.0}};
  image.options.rows = image.options.columns = 4, image.options.max_text_length = 16;
  check_work({image});
}

TEST_CASE("the work counted is the work done: packed rows, each with its own length and positions") {
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  const RowBatch rows{.ids_BT = at::arange(13).unsqueeze(0), .offsets = {0, 5, 6, 13}};
  const std::vector<int64_t> positions = {12, 0, 7, 3, 8};
  const Recorded run = run_of([&] { model.hidden(rows, at::tensor(positions, at::kLong)); });
  const Work work = layers_work(model.config(), rows, positions, 4);
  CHECK(work.tokens == 13);
  CHECK(work.layer_flops == run.products);
  CHECK(work.attention_flops == run.attention);
}
