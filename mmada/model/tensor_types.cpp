// SPDX-License-Identifier: MIT
// Names of element types and devices, as flags and files spell them.
#include <ATen/Context.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/model/checkpoint.h"
#include "mmada/ops/load_cuda.h"

namespace mmada {
namespace {

struct TypeName {
  std::string_view name;
  at::ScalarType type;
};
constexpr TypeName kTypeNames[] = {
    {"fp32", at::kFloat}, {"bf16", at::kBFloat16}, {"fp16", at::kHalf}, {"fp64", at::kDouble}};

struct FileType {
  DType dtype;
  at::ScalarType type;
};
constexpr FileType kFileTypes[] = {{DType::kBool, at::kBool}, {DType::kU8, at::kByte},
                                   {DType::kI8, at::kChar},   {DType::kI16, at::kShort},
                                   {DType::kI32, at::kInt},   {DType::kI64, at::kLong},
                                   {DType::kF16, at::kHalf},  {DType::kBF16, at::kBFloat16},
                                   {DType::kF32, at::kFloat}, {DType::kF64, at::kDouble}};

}  // namespace

at::ScalarType scalar_type_from_name(std::string_view name) {
  for (const TypeName& known : kTypeNames)
    if (known.name == name) return known.type;
  throw UsageError(cat("dtype: found ", quote(name), ", expected fp32, bf16, fp16 or fp64"));
}

std::string scalar_type_name(at::ScalarType type) {
  for (const TypeName& known : kTypeNames)
    if (known.type == type) return std::string(known.name);
  throw Error(cat("dtype: found ", type, ", expected fp32, bf16, fp16 or fp64"));
}

at::ScalarType scalar_type_of(DType dtype) {
  for (const FileType& known : kFileTypes)
    if (known.dtype == dtype) return known.type;
  throw Error(cat("dtype: found ", dtype_name(dtype), ", expected one that tensors have"));
}

DType dtype_of(at::ScalarType type) {
  for (const FileType& known : kFileTypes)
    if (known.type == type) return known.dtype;
  throw Error(cat("dtype: found ", type, ", expected one that safetensors files hold"));
}

at::Device device_from_name(const std::string& name) {
  const bool cuda = name == "cuda" || name.starts_with("cuda:");
  const std::string index = name.starts_with("cuda:") ? name.substr(5) : "0";
  const bool numbered = !index.empty() && index.size() < 4 &&
                        std::all_of(index.begin(), index.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (name != "cpu" && !(cuda && numbered))
    throw UsageError(cat("device: found ", quote(name), ", expected cpu, cuda or cuda:N"));
  if (!cuda) return at::Device(at::kCPU);
  MMADA_CHECK(at::hasCUDA(), "device: found ", quote(name), ", expected cpu: ",
              cuda_library().loaded ? "the CUDA driver shows no device" : cuda_library().reason);
  const size_t devices = at::globalContext().getAcceleratorHooksInterface(at::kCUDA).deviceCount();
  MMADA_CHECK(std::stoul(index) < devices, "device: found ", quote(name),
              ", expected cuda:0 to cuda:", devices - 1);
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(std::stoi(index)));
}

}  // namespace mmada
