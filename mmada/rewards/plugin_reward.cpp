// SPDX-License-Identifier: MIT
#include "mmada/rewards/plugin_reward.h"

#include <filesystem>

#include "mmada/rewards/installed_files.h"
#include "mmada/rewards/process_reward.h"

namespace mmada {

std::unique_ptr<Reward> make_plugin_reward(Fields fields) {
  ProcessRewardOptions options = parse_worker_options(fields);
  const std::string library = fields.string("library");
  const std::string host = fields.has("host") ? fields.string("host") : find_program("mmada-reward-host");
  const Json config = fields.has("config") ? fields.raw("config") : Json::object();
  std::error_code error;
  if (!config.is_object()) fields.fail("config", found_text(config), "an object");
  if (!std::filesystem::is_regular_file(library, error)) fields.fail("library", library, "a shared library");
  fields.finish();
  // without a slash the loader would look for it elsewhere
  options.command = {host, std::filesystem::absolute(library), config.dump()};
  return make_worker_reward(options);
}

}  // namespace mmada
