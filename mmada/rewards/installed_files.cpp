// SPDX-License-Identifier: MIT
#include "mmada/rewards/installed_files.h"

#include <dlfcn.h>

#include <filesystem>

#include "mmada/core/check.h"

namespace mmada {
namespace {

std::filesystem::path folder_of_this_library() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&find_program), &info) == 0 || info.dli_fname == nullptr)
    return {};
  std::error_code error;
  return std::filesystem::canonical(info.dli_fname, error).parent_path();
}

/// The file in the first folder that has it, else nothing.
std::string first_of(std::initializer_list<std::filesystem::path> folders, const std::string& name) {
  std::error_code error;
  for (const auto& folder : folders)
    if (std::filesystem::is_regular_file(folder / name, error)) return (folder / name).lexically_normal();
  return {};
}

}  // namespace

std::string find_program(const std::string& name) {
  std::error_code error;
  const auto running = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto library = folder_of_this_library();
  const std::string found =
      first_of({running, library / MMADA_PROGRAMS_FROM_LIBRARY, library / "../bin"}, name);
  return found.empty() ? name : found;
}

std::string find_shared_file(const std::string& name) {
  const auto library = folder_of_this_library();
  std::string found = first_of({library / MMADA_SHARED_FROM_LIBRARY, library / "../share/mmada"}, name);
  MMADA_CHECK(!found.empty(), name, ": found no such file in ",
              (library / MMADA_SHARED_FROM_LIBRARY).lexically_normal().string(),
              ", expected it where the library was installed");
  return found;
}

}  // namespace mmada
