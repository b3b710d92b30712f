// SPDX-License-Identifier: MIT
#include "mmada/generation/resident_region.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <catch2/catch.hpp>

#include "mmada/generation/denoise.h"
#include "tests/generation/canvases.h"

namespace mmada {
namespace {

using canvases::image;
using canvases::resident;
using canvases::text;

std::vector<FinishedRow> denoise(const Model& model, const std::vector<Canvas>& rows, Residency residency,
                                 std::vector<Observer*> observers = {}) {
  Denoiser denoiser(model.transformer, model.layout, std::move(observers), residency);
  for (const Canvas& row : rows) denoiser.add(row);
  while (denoiser.step()) {
  }
  auto finished = denoiser.take_finished();
  std::sort(finished.begin(), finished.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
  return finished;
}

void check_equal(const std::vector<FinishedRow>& got, const std::vector<FinishedRow>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("row " << i);
    CHECK(got[i].ids == expected[i].ids);
    CHECK(got[i].nfe == expected[i].nfe);
  }
}

TEST_CASE("regions filled on the device give the tokens and step counts of the loop on the host") {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    INFO("model " << seed);
    const Model model = tiny::random_model(seed);
    check_equal(denoise(model, canvases::all(), Residency::kDevice),
                denoise(model, canvases::all(), Residency::kHost));
  }
}

TEST_CASE("a row whose answer ended is seen to have ended one step late, and loses nothing by it") {
  std::vector<float> logits(100, 0.0f);
  logits[51] = 2.0f, logits[7] = 2.5f;  // eos as likely as not
  const Model model = tiny::scripted_model(logits);
  std::vector<Canvas> rows;
  for (uint32_t stream = 0; stream < 12; ++stream)
    rows.push_back(
        text({50, 3}, {.gen_length = 16, .block_length = 8, .steps = 16, .temperature = 1.0}, stream));
  const auto on_host = denoise(model, rows, Residency::kHost);
  check_equal(denoise(model, rows, Residency::kDevice), on_host);
  CHECK(std::any_of(on_host.begin(), on_host.end(), [](const auto& row) { return row.nfe < 8; }));
  CHECK(std::any_of(on_host.begin(), on_host.end(), [](const auto& row) { return row.nfe > 8; }));
}

TEST_CASE("a picture is drawn behind reasoning that ended early on the device as on the host") {
  std::vector<float> logits(100, 0.0f);
  logits[51] = 2.0f, logits[7] = 2.5f;
  const Model model = tiny::scripted_model(logits);
  std::vector<Canvas> rows;
  for (uint32_t stream = 0; stream < 6; ++stream)
    rows.push_back(canvases::reasoned({50, 3},
                                      {.gen_length = 16, .block_length = 8, .steps = 16, .temperature = 1.0},
                                      {.steps = 4, .greedy = true}, stream));
  const auto on_host = denoise(model, rows, Residency::kHost);
  check_equal(denoise(model, rows, Residency::kDevice), on_host);
  CHECK(std::all_of(on_host.begin(), on_host.end(), [](const auto& row) { return row.nfe >= 5; }));
  CHECK(std::any_of(on_host.begin(), on_host.end(), [](const auto& row) { return row.nfe < 20; }));
}

TEST_CASE("rows of like settings share steps, a picture takes exactly its steps' forward passes") {
  struct Counter : Observer {
    bool wants_tokens() const override { return false; }
    void on_forward(const Work& work) override { total += work; }
    void on_progress(const StepProgress& progress) override { seen.push_back(progress); }
    Work total;
    std::vector<StepProgress> seen;
  } counter;
  const std::vector<Canvas> rows{image({9}, {.steps = 6}, 1), image({9, 10}, {.steps = 6}, 2, true)};
  denoise(tiny::random_model(1), rows, Residency::kDevice, {&counter});
  CHECK(counter.total.forwards == 6);
  CHECK(counter.total.read_rows == 6 * 2 * 16);  // all slots, those known too
  REQUIRE(counter.seen.size() == 12);
  CHECK(counter.seen.back().step == 5);
  CHECK(counter.seen.back().steps == 6);
}

/// Whether an op of the step was given a tensor of the host.
std::string touched_by;  ///< names of ops that did
int64_t ops_recorded = 0;
std::unique_ptr<at::ObserverContext> record(const at::RecordFunction& call) {
  ++ops_recorded;
  for (const c10::IValue& input : call.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined() || !input.toTensor().is_cpu()) continue;
    if (input.toTensor().unsafeGetTensorImpl()->is_wrapped_number()) continue;  // a kernel's argument
    touched_by += std::string(" ") + call.name();
  }
  return nullptr;
}

// ATen's shapes of these live in Python.
at::Tensor index_select_meta(const at::Tensor& self, int64_t dimension, const at::Tensor& index) {
  auto sizes = self.sizes().vec();
  sizes[static_cast<size_t>(dimension)] = index.numel();
  return at::empty(sizes, self.options());
}
at::Tensor take_meta(const at::Tensor& self, const at::Tensor& index) {
  return at::empty(index.sizes(), self.options());
}
at::Tensor where_meta(const at::Tensor& condition, const at::Tensor& self, const at::Tensor&) {
  return at::empty(condition.sizes(), self.options());
}
TORCH_LIBRARY_IMPL(aten, Meta, m) {
  m.impl("index_select", index_select_meta);
  m.impl("take", take_meta);
  m.impl("where.self", where_meta);
}

/// Memory-less tensors: whatever reads a number of theirs throws.
Transformer on_meta() {
  return Transformer(tiny::config(), at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
}

TEST_CASE("a step reads nothing from the device and brings nothing to it") {
  const c10::NoGradGuard no_grad;
  for (const Canvas& canvas : canvases::all()) {
    ResidentRegion region(on_meta(), tiny::layout().mask, tiny::layout().eos, {resident(canvas)});
    const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(record).needsInputs(true));
    touched_by.clear(), ops_recorded = 0;
    for (int64_t step = 0; step < canvas.regions.front().steps; ++step) CHECK_NOTHROW(region.enqueue());
    at::removeCallback(handle);
    CHECK(ops_recorded > 20);
    CHECK(touched_by == "");
  }
}

TEST_CASE("started again under another seed a region's tensors give what the host draws with that seed") {
  const c10::NoGradGuard no_grad;
  const Model model = tiny::random_model(3);
  int64_t changed = 0;
  for (Canvas canvas : canvases::all()) {
    canvas.stop = {},
    canvas.regions.resize(1);  // the loop on the host would end what is left of the row, too
    ResidentRegion region(model.transformer, tiny::layout().mask, tiny::layout().eos, {resident(canvas)});
    const auto fill = [&](uint64_t seed) {
      region.restart(seed);
      while (!region.finished()) region.step();
      return region.collect().front();
    };
    const auto first = fill(canvas.seed);
    for (const uint64_t seed : {uint64_t{6}, canvas.seed + (uint64_t{1} << 40), canvas.seed}) {
      Canvas one = canvas;
      one.seed = seed;
      const auto expected = denoise(model, {one}, Residency::kHost).front();
      const auto found = fill(seed);
      CHECK(found.ids == expected.ids);
      CHECK(found.steps == expected.nfe);
      changed += found.ids != first.ids ? 1 : 0;
    }
  }
  CHECK(changed > 10);  // of 24
}

TEST_CASE("what the published procedure ties to the host stays there") {
  const int64_t mask = tiny::layout().mask;
  const auto taken = [&](const Canvas& canvas, c10::ScalarType weights = at::kFloat) {
    return ResidentRegion::takes(resident(canvas), mask, weights);
  };
  const TextOptions plain{.gen_length = 16, .block_length = 8, .steps = 8};
  TextOptions published = plain;
  published.compat = Compat::reference();
  CHECK(taken(text({50}, plain)));
  CHECK_FALSE(taken(text({50}, published)));
  Canvas tied = text({50}, plain), scattered = text({50}, plain);
  tied.stop.kind = EarlyStop::kAllRowsBlock;
  scattered.regions.front().positions.erase(scattered.regions.front().positions.begin() + 2);
  CHECK_FALSE(taken(tied));
  CHECK_FALSE(taken(scattered));  // a MASK of another region lies between
  ImageOptions coarse{.steps = 2};
  coarse.compat.sample_images_in_weight_dtype = true;
  CHECK(taken(image({3}, coarse)));
  CHECK_FALSE(taken(image({3}, coarse), at::kBFloat16));
}

TEST_CASE("NaN among a region's logits is an error, one step late") {
  const Model model = tiny::random_model(1);
  tiny::parameter(model.transformer, "ln_f.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_WITH(
      denoise(model, {text({50, 3}, {.gen_length = 8, .block_length = 8, .steps = 4})}, Residency::kDevice),
      Catch::Contains("found NaN"));
}

TEST_CASE("observers of tokens and steps on the device exclude each other") {
  struct Watcher : Observer {
  } watcher;
  const Model model = tiny::random_model(1);
  CHECK_THROWS_WITH(Denoiser(model.transformer, model.layout, {&watcher}, Residency::kDevice),
                    Catch::Contains("observer of tokens"));
}

}  // namespace
}  // namespace mmada
