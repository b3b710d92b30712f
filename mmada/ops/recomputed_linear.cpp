// SPDX-License-Identifier: MIT
#include "mmada/ops/recomputed_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mmada/ops/linear.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct FunctionHolder : torch::CustomClassHolder {
  explicit FunctionHolder(std::function<Tensor(at::TensorList)> of) : function(std::move(of)) {}
  std::function<Tensor(at::TensorList)> function;
};

struct ProjectRecomputed : torch::autograd::Function<ProjectRecomputed> {
  static tensor_list forward(AutogradContext* context, const c10::intrusive_ptr<FunctionHolder>& holder,
                             int64_t inputs, at::TensorList tensors) {
    context->save_for_backward(tensors.vec());
    context->saved_data["inputs"] = inputs;
    context->saved_data["function"] =
        c10::IValue::make_capsule(c10::intrusive_ptr<torch::CustomClassHolder>(holder));
    const auto own = static_cast<size_t>(inputs);
    const Tensor h = holder->function(tensors.slice(0, own));
    tensor_list products;
    for (const Tensor& weight : tensors.slice(own)) products.push_back(project(h, weight));
    return products;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto capsule = context->saved_data["function"].toCapsule();
    const auto own = static_cast<size_t>(context->saved_data["inputs"].toInt());
    const tensor_list saved = context->get_saved_variables();
    tensor_list inputs, wanted;
    for (size_t i = 0; i < own; ++i) {
      inputs.push_back(saved[i].detach().requires_grad_(saved[i].requires_grad()));
      if (saved[i].requires_grad()) wanted.push_back(inputs.back());
    }
    Tensor h;
    {
      const at::AutoGradMode with_grad(true);
      h = static_cast<const FunctionHolder&>(*capsule).function(inputs);
    }
    const Tensor rows = h.detach().flatten(0, -2);
    Tensor dh;
    tensor_list dweights;
    for (size_t i = own; i < saved.size(); ++i) {
      const Tensor dy = grads[i - own].flatten(0, -2);
      const Tensor part = product_transposed(dy, saved[i].t());
      dh = dh.defined() ? dh.add_(part) : part;
      dweights.push_back(saved[i].requires_grad() ? product_transposed(rows.t(), dy.t()).t() : Tensor());
    }
    tensor_list result(2);  // of the function and of the number of inputs
    tensor_list dinputs;
    if (!wanted.empty()) dinputs = torch::autograd::grad({h}, wanted, {dh.view(h.sizes())});
    size_t next = 0;
    for (const Tensor& input : inputs) result.push_back(input.requires_grad() ? dinputs[next++] : Tensor());
    result.insert(result.end(), dweights.begin(), dweights.end());
    return result;
  }
};

}  // namespace

std::vector<Tensor> project_recomputed(const std::function<Tensor(at::TensorList inputs)>& function,
                                       at::TensorList inputs, at::TensorList weights) {
  std::vector<Tensor> tensors = inputs.vec();
  tensors.insert(tensors.end(), weights.begin(), weights.end());
  return ProjectRecomputed::apply(c10::make_intrusive<FunctionHolder>(function), std::ssize(inputs),
                                  at::TensorList(tensors));
}

}  // namespace mmada
