// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace mmada {

/// Element types that files and kernels know, named as safetensors spells them.
enum class DType { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64 };

constexpr size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
    case DType::kI8:
      return 1;
    case DType::kI16:
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kI32:
    case DType::kF32:
      return 4;
    case DType::kI64:
    case DType::kF64:
      return 8;
  }
  return 0;
}

constexpr std::string_view dtype_name(DType dtype) {
  constexpr std::string_view kNames[] = {"BOOL", "U8",  "I8",   "I16", "I32",
                                         "I64",  "F16", "BF16", "F32", "F64"};
  return kNames[static_cast<size_t>(dtype)];
}

/// The type of a safetensors name such as "BF16"; nothing for names this project does not read.
constexpr std::optional<DType> dtype_from_name(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kF64); ++i)
    if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  return std::nullopt;
}

}  // namespace mmada
