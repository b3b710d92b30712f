// SPDX-License-Identifier: MIT
// libmmada.so links nothing of CUDA, so that a machine without a GPU neither needs nor loads it. Where there
// is a driver, loading libmmada.so loads libmmada_cuda.so from its own folder. That happens in a load
// constructor, before any call to ATen, because ATen remembers its first answer to "is there CUDA?" for the
// life of the process.
#include "mmada/ops/load_cuda.h"

#include <dlfcn.h>

#include <filesystem>

namespace mmada {

namespace {

constexpr const char* kLibrary = "libmmada_cuda.so";

/// The folder that this library was loaded from; empty when the loader cannot tell.
std::filesystem::path own_folder() {
  Dl_info info = {};
  const void* here = reinterpret_cast<const void*>(&cuda_library);
  if (dladdr(here, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const auto path = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::filesystem::path() : path.parent_path();
}

CudaLibrary load() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return {false, "no CUDA driver on this machine (libcuda.so.1)"};
  const std::filesystem::path path = own_folder() / kLibrary;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {false, "built without CUDA (no " + path.string() + ")"};
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return {true, ""};
  const char* reason = dlerror();
  return {false, reason != nullptr ? reason : "dlopen failed"};
}

[[gnu::constructor]] void load_at_start() { cuda_library(); }

}  // namespace

const CudaLibrary& cuda_library() {
  static const CudaLibrary library = load();
  return library;
}

}  // namespace mmada
