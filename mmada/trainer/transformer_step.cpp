// SPDX-License-Identifier: MIT
#include "mmada/trainer/transformer_step.h"

#include <ATen/ATen.h>

#include "mmada/model/peft_adapter.h"

namespace mmada {

std::function<void()> TransformerStep::stage_model(const std::string& directory) {
  const bool writes = group().rank() == 0;
  const auto model = std::make_shared<Model>(network_.model);
  model->transformer = transformer().whole(weights().device(at::kCPU), writes);
  const std::optional<LoraOptions> lora = transformer().lora();
  const auto adapters = transformer().adapters(writes);
  if (!writes) return [] {};
  return [model, directory, tokenizer_source = network_.tokenizer_source, lora, adapters] {
    mmada::save_model(*model, directory, tokenizer_source);
    if (lora) save_peft_adapter(directory + "_adapter", *lora, model->source, adapters);
  };
}

Model TransformerStep::whole_model(bool keep) const {
  Model model = network_.model;
  model.transformer = transformer().whole(weights(), keep);
  return model;
}

at::Tensor TransformerStep::zero_sums(int64_t count) const {
  return at::zeros({count}, weights().dtype(at::kDouble).requires_grad(false));
}

std::vector<double> TransformerStep::read_sums(const at::Tensor& sums) {
  const at::Tensor host = sums.cpu();
  const auto* first = host.const_data_ptr<double>();
  return {first, first + host.numel()};
}

void TransformerStep::add_lora_base(Json* state) const {
  if (transformer().lora())
    (*state)["lora_base"] = {{"source", model().source}, {"sha256", transformer().base_sha256()}};
}

void TransformerStep::check_lora_base(Fields& state) const {
  if (!transformer().lora()) return;
  Fields saved = state.object("lora_base");
  const std::string source = saved.string("source", ""), sha256 = saved.string("sha256");
  if (sha256 != transformer().base_sha256()) {
    try {
      saved.fail(
          "sha256", cat(sha256, " (of \"", source, "\")"),
          cat(transformer().base_sha256(), ", that of this run's frozen weights as it holds them (of \"",
              model().source, "\"): adapters go on upon the base that they were trained on"));
    } catch (const Error& error) {
      throw OtherBase(error.what());
    }
  }
  saved.finish();
}

}  // namespace mmada
