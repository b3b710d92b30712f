// SPDX-License-Identifier: MIT
// model.safetensors.index.json: no accepted file name may leave the folder.
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/formats/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

using mmada::fuzz::promise;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto text = mmada::fuzz::text_of(data, size);
    const auto files = mmada::parse_checkpoint_index(text, "index");
    const mmada::Json map = mmada::parse_json(text, "index")["weight_map"];
    promise(map.is_object() && !map.empty() && map.size() == files.size(), "every entry of the map is kept");
    for (const auto& [tensor, file] : files) {
      const std::filesystem::path path(file);
      promise(path == path.filename() && file != "." && file != "..", "a file name has no folder");
      promise(file.find_first_of(std::string_view("/\\:\0", 4)) == std::string::npos, "a file name is plain");
      promise(file.ends_with(".safetensors") && file.size() <= 255, "a file name ends in .safetensors");
      promise((std::filesystem::path("/root") / path).lexically_normal().parent_path() == "/root",
              "a file stays in the folder");
    }
  } catch (const mmada::Error&) {
  }
  return 0;
}
