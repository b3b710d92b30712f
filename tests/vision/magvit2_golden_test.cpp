// SPDX-License-Identifier: MIT
// Figures of an independent PyTorch implementation: an 8-bit tokenizer of factor 4 with random weights.
#include "mmada/vision/lfq.h"
#include "tests/vision/golden.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

namespace {

const auto& golden() {
  static const auto tensors = mmada::test::read_tensors(MMADA_TEST_DATA "/magvit.safetensors");
  return tensors;
}

}  // namespace

TEST_CASE("pictures become the latents and codes of the independent implementation") {
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  CHECK(mmada::test::largest_difference(model.encode_latent(golden().at("image")), golden().at("latent")) <
        2e-5);
  CHECK(model.encode(golden().at("image")).flatten(1).equal(golden().at("codes")));
}

TEST_CASE("codes become the pictures of the independent implementation") {
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  const at::Tensor pictures = model.decode(golden().at("codes").view({2, 8, 8}));
  CHECK(mmada::test::largest_difference(pictures, golden().at("reconstruction")) < 2e-5);
}

TEST_CASE("the training-mode quantizer has the losses of the independent implementation") {
  const auto quantized = mmada::quantize(golden().at("latent"), {.straight_through_commitment = true});
  CHECK(0.1 * quantized.commitment.item<double>() == Approx(golden().at("quantizer_loss").item<double>()));
  CHECK(0.1 * quantized.entropy.item<double>() ==
        Approx(golden().at("entropy_loss").item<double>()).epsilon(1e-5));
}
