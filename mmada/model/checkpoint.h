// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/dtype.h"
#include "mmada/core/json.h"
#include "mmada/model/transformer.h"
#include "mmada/text/token_layout.h"
#include "mmada/text/tokenizer.h"

namespace mmada {

/// A tensor expected in a checkpoint under `name`, and where its values go.
struct TensorSlot {
  std::string name;
  at::Tensor destination;
};
/// Reads every slot out of the directory's safetensors, each file once, straight into place (converted where
/// the dtype or device differs, one tensor at a time). Accepts names with and without `prefix` (e.g.
/// "model."). Missing, unexpected and misshapen tensors are one error that lists them all; names in
/// `tolerated` may be present unread.
void load_tensors(const std::string& directory, const std::vector<TensorSlot>& slots,
                  const std::string& prefix = "", const std::vector<std::string>& tolerated = {});

struct LoadOptions {
  std::string device = "cpu";  ///< "cpu", "cuda", "cuda:N"
  std::string dtype = "";      ///< "fp32", "bf16", "fp16"; empty: as stored
};

/// A transformer with what belongs to it: configuration, tokenizer (may be null), ids.
struct Model {
  Transformer transformer;
  std::shared_ptr<const Tokenizer> tokenizer;
  TokenLayout layout;
  Json config;              ///< config.json as read, so that saving keeps keys we do not interpret
  std::string source = {};  ///< the folder it was read from, for messages; empty where it was made
  /// config.json as messages name it.
  std::string config_source() const { return source.empty() ? "config.json" : source + "/config.json"; }
};
/// Reads a checkpoint directory: config.json, the weights (names with and without "model.", block_groups
/// names too) and the tokenizer where there is one. The shapes are compared with the files before anything is
/// allocated.
Model load_model(const std::string& directory, const LoadOptions& options = {});

/// Writes the published layout (config.json, model*.safetensors + index, tokenizer files copied from
/// tokenizer_source when not empty) into an existing or new directory; loads back bit-equal.
void save_model(const Model& model, const std::string& directory, const std::string& tokenizer_source = "",
                int64_t max_shard_bytes = int64_t{5} << 30);

at::ScalarType scalar_type_from_name(std::string_view name);  ///< "fp32" | "bf16" | "fp16" | "fp64"
std::string scalar_type_name(at::ScalarType type);            ///< the inverse
/// "cpu", "cuda" or "cuda:N"; throws UsageError for other names and Error where the device is not there.
at::Device device_from_name(const std::string& name);

/// Tensor element types as safetensors files name them, and back; throws for types a file cannot hold.
at::ScalarType scalar_type_of(DType dtype);
DType dtype_of(at::ScalarType type);

}  // namespace mmada
