// SPDX-License-Identifier: MIT
// A plugin on the bare C interface: what C and other languages write. {"do": "..."} chooses a mistake of
// theirs.
#include <cstring>

#include "mmada/rewards/plugin_abi.h"

#ifndef RAW_PLUGIN_VERSION
#define RAW_PLUGIN_VERSION MMADA_REWARD_ABI_VERSION
#endif

namespace {

enum class Does { kWell, kMissing, kUnknownVerdict, kSilentFailure, kThrow, kLongMessage };
Does does;

bool says(mmada_reward_text config, const char* word) { return std::strstr(config.data, word) != nullptr; }

void* create(mmada_reward_text config, mmada_reward_error*) {
  if (says(config, "null")) return nullptr;
  does = says(config, "missing")   ? Does::kMissing
         : says(config, "verdict") ? Does::kUnknownVerdict
         : says(config, "silent")  ? Does::kSilentFailure
         : says(config, "throw")   ? Does::kThrow
         : says(config, "long")    ? Does::kLongMessage
                                   : Does::kWell;
  return &does;
}

/// 1 point for the corner's red, or the bytes of all texts together; no opinion about empty responses.
void judge(const mmada_reward_sample& sample, double* value, uint8_t* verdict) {
  *verdict = sample.response.size == 0 ? MMADA_REWARD_ABSTAINS : MMADA_REWARD_SCORED;
  *value = static_cast<double>(sample.task.size + sample.prompt.size + sample.response.size +
                               sample.answer.size + sample.metadata.size);
  if (sample.image.rgb == nullptr) return;
  const size_t last = (size_t{sample.image.width} * sample.image.height - 1) * 3;
  *value = sample.image.rgb[last] + sample.image.width * 1000.0 + sample.image.height * 1e6;
}

int score(void*, const mmada_reward_batch* batch, mmada_reward_scores* scores, mmada_reward_error* error) {
  if (does == Does::kSilentFailure) return 1;
  if (does == Does::kThrow) throw 7;
  if (does == Does::kLongMessage) return std::memset(error->text, 'x', error->size), 1;
  for (size_t i = 0; i < batch->count; ++i)
    judge(*batch->samples[i], &scores->values[i], &scores->verdicts[i]);
  if (does == Does::kMissing) scores->verdicts[batch->count - 1] = MMADA_REWARD_MISSING;
  if (does == Does::kUnknownVerdict) scores->verdicts[0] = 9;
  return 0;
}

}  // namespace

const mmada_reward_plugin* mmada_reward_plugin_table() {
  static const mmada_reward_plugin table = {sizeof table, RAW_PLUGIN_VERSION, create, score, [](void*) {}};
  return &table;
}
