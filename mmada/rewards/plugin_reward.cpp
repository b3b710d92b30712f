// SPDX-License-Identifier: MIT
#include "mmada/rewards/plugin_reward.h"

#include <dlfcn.h>

#include <filesystem>

#include "mmada/rewards/process_reward.h"

namespace mmada {
namespace {

std::filesystem::path folder_of_this_library() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&find_program), &info) == 0 || info.dli_fname == nullptr)
    return {};
  std::error_code error;
  return std::filesystem::canonical(info.dli_fname, error).parent_path();
}

}  // namespace

std::string find_program(const std::string& name) {
  std::error_code error;
  const auto running = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto library = folder_of_this_library();
  for (const auto& folder : {running, library / MMADA_PROGRAMS_FROM_LIBRARY, library / "../bin"})
    if (std::filesystem::is_regular_file(folder / name, error)) return (folder / name).lexically_normal();
  return name;
}

std::unique_ptr<Reward> make_plugin_reward(Fields fields) {
  ProcessRewardOptions options = parse_time_limits(fields);
  const std::string library = fields.string("library");
  const std::string host = fields.has("host") ? fields.string("host") : find_program("mmada-reward-host");
  const Json config = fields.has("config") ? fields.raw("config") : Json::object();
  std::error_code error;
  if (!config.is_object()) fields.fail("config", found_text(config), "an object");
  if (!std::filesystem::is_regular_file(library, error)) fields.fail("library", library, "a shared library");
  fields.finish();
  // without a slash the loader would look for it elsewhere
  options.command = {host, std::filesystem::absolute(library), config.dump()};
  return std::make_unique<ProcessReward>(std::move(options));
}

}  // namespace mmada
