// SPDX-License-Identifier: MIT
#include "mmada/trainer/training_pictures.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <vector>

#include "mmada/data/source.h"

namespace {

using namespace mmada;

constexpr int64_t kBatches = 4;

TrainingPictures pictures(int64_t batches = kBatches) {
  const Json shapes = {{"type", "shapes"}, {"task", "picture"}};
  return {make_source(shapes, "dataset.source", 3),
          {.rows = 3, .resolution = 32, .random_crop = true, .flip = true, .batches = batches, .seed = 5}};
}

}  // namespace

TEST_CASE("a batch's pictures are the same whether they were drawn ahead, or anew from the position before") {
  TrainingPictures straight = pictures();
  std::vector<at::Tensor> batches;
  std::vector<Json> positions{straight.state()};
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    batches.push_back(straight.take(batch));
    positions.push_back(straight.state());
  }
  CHECK(batches[0].sizes() == at::IntArrayRef{3, 3, 32, 32});
  CHECK_FALSE(at::equal(batches[0], batches[1]));
  for (size_t batch = 0; batch < kBatches; ++batch) {
    TrainingPictures resumed = pictures();
    resumed.take(0);
    resumed.restore(positions[batch]);
    CHECK(resumed.state() == positions[batch]);
    CHECK(at::equal(resumed.take(static_cast<int64_t>(batch)), batches[batch]));
    CHECK(resumed.state() == positions[batch + 1]);
  }
}

TEST_CASE("the source's first pictures are the same at any time, and training does not notice the look") {
  TrainingPictures watched = pictures(), straight = pictures();
  const at::Tensor first = watched.first(2);
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    CHECK(at::equal(watched.take(batch), straight.take(batch)));
    CHECK(at::equal(watched.first(2), first));
  }
}

TEST_CASE("batches of pictures are taken in their order") {
  TrainingPictures stream = pictures();
  stream.take(0);
  CHECK_THROWS_WITH(stream.take(2),
                    Catch::Contains("found the pictures of batch 1 drawn, expected those of batch 2"));
}
