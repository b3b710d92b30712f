// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <filesystem>

#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"
#include "mmada/model/checkpoint.h"
#include "mmada/vision/open_image_tokenizer.h"

namespace mmada {

namespace {

/// Throws unless the files hold exactly this network: before memory for it is asked for.
void check_files(const CheckpointReader& reader, const Magvit2Config& config) {
  const Magvit2 shapes(config, at::TensorOptions(at::kFloat).device(at::kMeta));
  std::vector<ExpectedTensor> expected;
  for (const auto& [name, tensor] : shapes.parameters()) expected.push_back({name, tensor.sizes().vec()});
  reader.check(expected, {"quantize.power_vals", "quantize.embedding"});
}

}  // namespace

OpenImageTokenizer open_image_tokenizer(const std::string& directory) {
  const std::string source = directory + "/config.json";
  const Magvit2Config config = parse_magvit2_config(read_json_file(source), source);
  CheckpointReader reader(directory, [](const std::string& name) { return name; });
  check_files(reader, config);
  return {config, std::move(reader)};
}

Magvit2 load_image_tokenizer(const std::string& directory, const LoadOptions& options) {
  const OpenImageTokenizer open = open_image_tokenizer(directory);
  const at::ScalarType dtype = options.dtype.empty()
                                   ? scalar_type_of(open.reader.find("encoder.conv_in.weight")->dtype)
                                   : scalar_type_from_name(options.dtype);
  Magvit2 model(open.config, at::TensorOptions(dtype).device(device_from_name(options.device)));
  open.reader.read(model.parameters());
  return model;
}

void save_image_tokenizer(const Magvit2& model, const std::string& directory) {
  std::filesystem::create_directories(directory);
  std::vector<at::Tensor> held;  // contiguous CPU tensors alive until the file is written
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : model.parameters()) {
    held.push_back(tensor.detach().cpu().contiguous());
    tensors.push_back(
        {name, dtype_of(held.back().scalar_type()), held.back().sizes().vec(), held.back().const_data_ptr()});
  }
  write_safetensors(directory + "/model.safetensors", tensors, {{"format", "pt"}});
  write_file(directory + "/config.json", magvit2_config_json(model.config()).dump(2) + "\n");
}

}  // namespace mmada
