// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "mmada/cli/compute_flags.h"
#include "mmada/cli/tensor_input.h"
#include "mmada/cli/verb.h"
#include "mmada/core/quote.h"
#include "mmada/model/checkpoint.h"
#include "mmada/model/tensor_file.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string model, input, output, mode;
  ComputeFlags compute;
  bool json = false;
};

struct Request {
  RowBatch rows;
  std::optional<at::Tensor> columns_C;
};

// The half-open span of ones in one row of an attention mask.
Span span_of(const at::Tensor& mask_T, int64_t row, const std::string& source) {
  const at::Tensor ones = mask_T.nonzero().flatten();
  const bool contiguous =
      ones.numel() > 0 && ones[-1].item<int64_t>() - ones[0].item<int64_t>() + 1 == ones.numel();
  MMADA_CHECK(contiguous && mask_T.ge(0).all().item<bool>() && mask_T.le(1).all().item<bool>(), source,
              ": tensor \"attention_mask\": found row ", row, " with ", ones.numel(),
              " non-zero entries, expected one run of ones and zeros around it");
  return {ones[0].item<int64_t>(), ones[-1].item<int64_t>() + 1};
}

Request read_request(const Options& options) {
  const auto tensors = read_tensor_file(options.input);
  for (const auto& [name, tensor] : tensors)
    MMADA_CHECK(name == "input_ids" || name == "attention_mask" || name == "columns", options.input,
                ": tensor ", quote(name), ": expected only input_ids, attention_mask and columns");
  Request request;
  const auto take = [&](const char* name, const char* shape, int64_t dimensions) {
    return take_tensor(tensors, {.name = name, .shape = shape, .dimensions = dimensions}, options.input);
  };
  request.rows.ids_BT = take("input_ids", "[B, T]", 2);
  request.rows.mode = AttentionMode::kNone;
  if (tensors.contains("attention_mask")) {
    const at::Tensor mask_BT = take("attention_mask", "[B, T]", 2);
    MMADA_CHECK(mask_BT.sizes() == request.rows.ids_BT.sizes(), options.input,
                ": tensor \"attention_mask\": found shape ", mask_BT.sizes(),
                ", expected that of input_ids, ", request.rows.ids_BT.sizes());
    for (int64_t b = 0; b < mask_BT.size(0); ++b)
      request.rows.valid.push_back(span_of(mask_BT[b], b, options.input));
    request.rows.mode = AttentionMode::kHard;
  }
  if (!options.mode.empty()) request.rows.mode = attention_mode_from_name(options.mode);
  if (tensors.contains("columns")) request.columns_C = take("columns", "[C]", 1);
  return request;
}

void check_ids(const Request& request, int64_t vocabulary, const std::string& source) {
  const auto check = [&](const char* name, const at::Tensor& ids) {
    const int64_t low = ids.min().item<int64_t>(), high = ids.max().item<int64_t>();
    MMADA_CHECK(low >= 0 && high < vocabulary, source, ": tensor ", quote(name), ": found ids from ", low,
                " to ", high, ", expected 0 to ", vocabulary - 1);
  };
  check("input_ids", request.rows.ids_BT);
  if (request.columns_C) check("columns", *request.columns_C);
}

// A few positions at a time, so that no [B, T, V] tensor exists unless its columns were asked for.
std::map<std::string, at::Tensor> compute(const Transformer& transformer, const Request& request) {
  const int64_t vocabulary = transformer.config().vocab_size;
  const at::IntArrayRef shape = request.rows.ids_BT.sizes();
  const int64_t count = request.rows.ids_BT.numel();
  const int64_t columns = request.columns_C ? request.columns_C->numel() : vocabulary;
  const at::Tensor hidden_ND = transformer.hidden(request.rows).flatten(0, 1);
  at::Tensor logits = at::empty({count, columns}, at::kFloat), logsumexp = at::empty({count}, at::kFloat);
  at::Tensor argmax = at::empty({count}, at::kLong);
  const int64_t step = std::max<int64_t>(1, (int64_t{8} << 20) / vocabulary);
  for (int64_t begin = 0; begin < count; begin += step) {
    const int64_t size = std::min(step, count - begin);
    const at::Tensor chunk =
        transformer.logits(hidden_ND.narrow(0, begin, size), {0, vocabulary}).to(at::kCPU, at::kFloat);
    logits.narrow(0, begin, size)
        .copy_(request.columns_C ? chunk.index_select(1, *request.columns_C) : chunk);
    logsumexp.narrow(0, begin, size).copy_(chunk.logsumexp(1));
    argmax.narrow(0, begin, size).copy_(chunk.argmax(1));
  }
  return {{"logits", logits.view({shape[0], shape[1], columns})},
          {"logsumexp", logsumexp.view(shape)},
          {"argmax", argmax.view(shape)}};
}

void run(const Options& options) {
  const at::NoGradGuard no_grad;
  const LoadOptions load = start_computing(options.compute);
  const Request request = read_request(options);
  const Model model = load_model(options.model, load);
  check_ids(request, model.transformer.config().vocab_size, options.input);
  const auto results = compute(model.transformer, request);
  write_tensor_file(options.output, results);
  const auto shape = results.at("logits").sizes().vec();
  if (options.json) return print_json({{"output", options.output}, {"shape", shape}});
  std::printf("%s: logits [%lld, %lld, %lld]\n", options.output.c_str(), static_cast<long long>(shape[0]),
              static_cast<long long>(shape[1]), static_cast<long long>(shape[2]));
}

}  // namespace

void add_logits(CLI::App& app) {
  auto* verb = app.add_subcommand("logits", "Compute the logits of given token ids");
  auto options = std::make_shared<Options>();
  verb->add_option("--model", options->model, "Checkpoint directory")->required();
  verb->add_option(
          "--input", options->input,
          "Safetensors file: input_ids [B,T] int64, optional attention_mask [B,T] int64 (hides its zeros), "
          "optional columns [C] int64 (vocabulary ids to keep)")
      ->required();
  verb->add_option(
          "--output", options->output,
          "Safetensors file to write: logits [B,T,V or C] fp32, logsumexp [B,T] fp32, argmax [B,T] int64")
      ->required();
  verb->add_option("--attention-mode", options->mode,
                   "hard, none or additive_one (default: hard with an attention_mask, else none)")
      ->check(CLI::IsMember({"hard", "none", "additive_one"}));
  add_compute_flags(*verb, &options->compute);
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
