// SPDX-License-Identifier: MIT
// The C++ half of head_step.py: bench_head_step text|image|logprobs|t2i FOLDER THREADS
//
// Reads FOLDER/in.safetensors (for t2i also the checkpoint in FOLDER) and answers every line on standard
// input with the seconds of one step. At the end of the input it prints by how many bytes its memory ever
// exceeded what it held before the first step, and writes what a step gives to FOLDER/ours.safetensors.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "benchmarks/end_to_end/memory.h"
#include "mmada/model/checkpoint.h"
#include "mmada/model/tensor_file.h"
#include "mmada/ops/head_select.h"
#include "mmada/ops/logprobs.h"

namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Step = std::function<Tensors()>;

std::vector<int64_t> values(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

Tensors as_tensors(const mmada::Selected& selected) {
  return {{"ids", at::tensor(selected.ids, at::kLong)},
          {"confidence", at::tensor(selected.confidence, at::kDouble)}};
}

Tensors choose(const at::Tensor& hidden_ND, const at::Tensor& head_WD, const mmada::HeadRows& rows) {
  return as_tensors(mmada::select_from_head(hidden_ND, head_WD, {&rows, 1})[0]);
}

/// The candidates of a text step, over the text window without MASK.
Step text_step(const Tensors& in) {
  return [&in, positions = values(in.at("positions")), banned = values(in.at("banned"))] {
    const int64_t window = in.at("window").item<int64_t>();
    const mmada::HeadRows rows{.params = {.window = {0, window}, .positions = positions, .banned = banned},
                               .guidance = {}};
    return choose(in.at("hidden").index_select(0, in.at("positions")), in.at("head").narrow(0, 0, window),
                  rows);
  };
}

mmada::HeadRows image_rows(const Tensors& in, const std::vector<int64_t>& positions) {
  const int64_t first = in.at("first_code").item<int64_t>(), codes = in.at("codes").item<int64_t>();
  return {
      .params = {.window = {first, first + codes},
                 .positions = positions,
                 .temperature = in.at("temperature").item<double>(),
                 .noise = {.seed = 1}},
      .guidance = mmada::GuidanceMix{.scale = in.at("guidance").item<double>(), .difference_form = false}};
}

/// The masked codes of a guided image step. hidden: [2, T, D], the unconditional row last.
Step image_step(const Tensors& in) {
  return [&in, positions = values(in.at("positions"))] {
    const mmada::HeadRows rows = image_rows(in, positions);
    const at::Tensor hidden_ND = in.at("hidden").index_select(1, in.at("positions")).flatten(0, 1);
    return choose(hidden_ND, in.at("head").narrow(0, rows.params.window.begin, rows.params.window.size()),
                  rows);
  };
}

Step logprobs_step(const Tensors& in) {
  return [hidden = in.at("hidden").clone().set_requires_grad(true),
          head = in.at("head").clone().set_requires_grad(true), &in] {
    const at::AutoGradMode grad(true);
    const at::Tensor logprobs_N =
        mmada::masked_token_logprobs(hidden.index_select(0, in.at("positions")), head, in.at("targets"))
            .logprobs_N;
    const at::Tensor loss = -logprobs_N.mean();
    const auto gradients = torch::autograd::grad({loss}, {hidden, head});
    return Tensors{{"loss", loss.detach().reshape({1})}, {"dhidden", gradients[0]}, {"dhead", gradients[1]}};
  };
}

/// The same image step with the transformer before it.
Step t2i_step(const Tensors& in, const std::string& folder) {
  return [&in, transformer = mmada::load_model(folder).transformer, positions = values(in.at("positions"))] {
    const mmada::HeadRows rows = image_rows(in, positions);
    const at::Tensor ids_BT = in.at("ids"),
                     flat_N = at::cat({in.at("positions"), in.at("positions") + ids_BT.size(1)});
    const int64_t length = ids_BT.size(1);
    std::vector<mmada::Span> valid;
    for (const int64_t begin : values(in.at("begins"))) valid.push_back({begin, length});
    return choose(transformer.hidden({.ids_BT = ids_BT, .valid = valid}, flat_N),
                  transformer.head(rows.params.window), rows);
  };
}

int run(const std::string& name, const std::string& folder, const char* threads) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(std::atoi(threads));
  const Tensors in = mmada::read_tensor_file(folder + "/in.safetensors");
  const Step step = name == "text"       ? text_step(in)
                    : name == "image"    ? image_step(in)
                    : name == "logprobs" ? logprobs_step(in)
                                         : t2i_step(in, folder);
  const int64_t before = memory_bytes("VmRSS");
  std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM starts anew
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    step();
    std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    std::fflush(stdout);
  }
  std::printf("%lld\n", static_cast<long long>(memory_bytes("VmHWM") - before));
  mmada::write_tensor_file(folder + "/ours.safetensors", step());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4) return run(argv[1], argv[2], argv[3]);
    std::fprintf(stderr, "usage: bench_head_step text|image|logprobs|t2i FOLDER THREADS\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_head_step: %s\n", error.what());
    return 1;
  }
}
