// SPDX-License-Identifier: MIT
// libmmada.so does not link Arrow: 60 MB and some 13 ms at the start of every program, for those who read
// Parquet. libmmada_parquet.so is loaded from this library's own folder when the first file is opened.
#include <dlfcn.h>

#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/data/parquet_column.h"

namespace mmada {
namespace {

using Open = ParquetColumn* (*)(const std::string& path, const std::string& column);

struct ParquetLibrary {
  Open open = nullptr;
  std::string reason;  ///< why there is none
};

ParquetLibrary load() {
  Dl_info info = {};
  const void* here = reinterpret_cast<const void*>(&open_parquet);
  if (dladdr(here, &info) == 0 || info.dli_fname == nullptr)
    return {nullptr, "the library's folder is unknown"};
  std::error_code error;
  const auto path = std::filesystem::canonical(info.dli_fname, error).parent_path() / "libmmada_parquet.so";
  if (!std::filesystem::exists(path, error))
    return {nullptr,
            "found a library built without it (no libmmada_parquet.so), expected one built with "
            "MMADA_WITH_PARQUET and pyarrow beside torch"};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : dlsym(library, "mmada_open_parquet_column");
  if (symbol != nullptr) return {reinterpret_cast<Open>(symbol), ""};
  const char* reason = dlerror();
  return {nullptr, reason != nullptr ? reason : "libmmada_parquet.so cannot be loaded"};
}

}  // namespace

std::unique_ptr<ParquetColumn> open_parquet(const std::string& path, const std::string& column) {
  static const ParquetLibrary library = load();
  MMADA_CHECK(library.open != nullptr, path, ": Parquet files cannot be read: ", library.reason);
  return std::unique_ptr<ParquetColumn>(library.open(path, column));
}

}  // namespace mmada
