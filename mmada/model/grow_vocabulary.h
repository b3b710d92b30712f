// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/core/rng.h"

namespace mmada {

/// Rows to put behind a matrix, as like its own as a small sample is.
struct NewRows {
  at::Tensor rows_ND;              ///< fp64
  bool positive_definite = false;  ///< of the old rows' covariance; otherwise all new rows are their mean
};
/// Draws `count` rows from the normal distribution with the mean of old_VD's rows and 1e-9 times their
/// covariance (divided by V), as Hugging Face's resize_token_embeddings does with mean_resizing (SPEC 1.6);
/// a covariance that is not positive definite makes every row the mean, as there. Sums and the Cholesky
/// factor are fp64 (there fp32). Memory: three D x D matrices, the result, and twice 1024 rows. Throws where
/// a row is not finite; `name` is the matrix in that error.
NewRows draw_new_rows(const at::Tensor& old_VD, int64_t count, Rng& rng, const std::string& name);

struct GrowOptions {
  int64_t vocab_size = 134656;   ///< rows of the embedding and of the head afterwards
  int64_t codebook_size = 8192;  ///< image codes among them, for config.json; 0: none
  uint64_t seed = 0;
};
/// A matrix that has grown.
struct GrownMatrix {
  std::string name;  ///< as stored
  int64_t old_rows = 0;
  uint64_t added_bytes = 0;
  bool positive_definite = false;
};

/// Copies a checkpoint folder (published layout; LLaDA's is the same network) with a larger vocabulary: the
/// embedding and the head get new rows, old rows and all other tensors stay bit for bit, under the names and
/// in the files they came in. config.json gets the new sizes, an index its new total; tokenizer and other
/// files are copied.
///
/// One tensor at a time is in memory. `output` must not exist, and appears complete or not at all. Errors:
/// what open_checkpoint refuses; a vocabulary that does not grow; codes that do not fit into it.
std::vector<GrownMatrix> grow_vocabulary(const std::string& directory, const std::string& output,
                                         const GrowOptions& options);

}  // namespace mmada
