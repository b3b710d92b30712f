// SPDX-License-Identifier: MIT
// mmada-reward-host LIBRARY [CONFIG]: a reward in a shared library (plugin_abi.h) as a worker of its own, so
// that whatever the library does to its process, the one that trains goes on.
#include <dlfcn.h>

#include <cstdio>

#include "mmada/rewards/plugin_abi.h"
#include "mmada/rewards/worker/serve.h"

namespace mmada {
namespace {

/// Room for a plugin's message.
struct Message {
  char text[1024] = {};
  mmada_reward_error room{sizeof(mmada_reward_error), text, sizeof text};
  std::string words() {
    text[sizeof text - 1] = '\0';
    return text[0] != '\0' ? text : "it failed and gave no reason";
  }
};

mmada_reward_text text_of(const std::string& text) { return {text.data(), text.size()}; }

/// A batch in the plugin's terms, pointing into samples that live longer.
class Batch {
 public:
  explicit Batch(std::span<const RewardSample> samples) {
    for (const RewardSample& sample : samples) metadata_.push_back(sample.metadata.dump());
    for (size_t i = 0; i < samples.size(); ++i) samples_.push_back(plugin_sample(samples[i], metadata_[i]));
    for (const mmada_reward_sample& sample : samples_) pointers_.push_back(&sample);
  }
  mmada_reward_batch view() const { return {sizeof(mmada_reward_batch), pointers_.size(), pointers_.data()}; }

 private:
  static mmada_reward_sample plugin_sample(const RewardSample& sample, const std::string& metadata) {
    mmada_reward_image image = {};
    if (sample.image)
      image = {sample.image->pixels.data(), static_cast<uint32_t>(sample.image->width),
               static_cast<uint32_t>(sample.image->height)};
    return {sizeof(mmada_reward_sample),
            text_of(sample.task),
            text_of(sample.prompt),
            text_of(sample.response),
            text_of(sample.answer),
            text_of(metadata),
            image};
  }

  std::vector<std::string> metadata_;
  std::vector<mmada_reward_sample> samples_;
  std::vector<const mmada_reward_sample*> pointers_;
};

/// The library stays loaded: threads that a plugin left behind may still run in it.
const mmada_reward_plugin& load_plugin(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  MMADA_CHECK(library != nullptr, path, ": cannot be loaded: ", dlerror());
  void* symbol = dlsym(library, "mmada_reward_plugin_table");
  MMADA_CHECK(symbol != nullptr, path,
              ": found no symbol mmada_reward_plugin_table, expected a reward plugin "
              "(mmada/rewards/plugin_abi.h)");
  const auto* plugin = reinterpret_cast<decltype(&mmada_reward_plugin_table)>(symbol)();
  MMADA_CHECK(plugin != nullptr, path, ": mmada_reward_plugin_table: found null, expected a table");
  MMADA_CHECK(plugin->abi_version == MMADA_REWARD_ABI_VERSION, path, ": found version ", plugin->abi_version,
              " of the plugin interface, expected ", MMADA_REWARD_ABI_VERSION);
  MMADA_CHECK(plugin->struct_size >= sizeof(mmada_reward_plugin) && plugin->create != nullptr &&
                  plugin->score != nullptr && plugin->destroy != nullptr,
              path, ": found a table of ", plugin->struct_size, " bytes, expected ",
              sizeof(mmada_reward_plugin), " with create, score and destroy");
  return *plugin;
}

class PluginReward : public Reward {
 public:
  PluginReward(const std::string& path, const std::string& config) : plugin_(load_plugin(path)) {
    Message message;
    state_ = plugin_.create(text_of(config), &message.room);
    MMADA_CHECK(state_ != nullptr, message.words());
  }
  ~PluginReward() override { plugin_.destroy(state_); }

  Scores score(std::span<const RewardSample> samples) override {
    const Batch batch(samples);
    const mmada_reward_batch view = batch.view();
    std::vector<double> values(samples.size());
    std::vector<uint8_t> verdicts(samples.size(), MMADA_REWARD_MISSING);
    mmada_reward_scores room{sizeof room, samples.size(), values.data(), verdicts.data()};
    Message message;
    MMADA_CHECK(plugin_.score(state_, &view, &room, &message.room) == 0, message.words());
    Scores scores;
    for (size_t i = 0; i < samples.size(); ++i) {
      MMADA_CHECK(verdicts[i] == MMADA_REWARD_SCORED || verdicts[i] == MMADA_REWARD_ABSTAINS, "sample ", i,
                  ": found neither a score nor an abstention");
      scores.push_back(verdicts[i] == MMADA_REWARD_SCORED ? std::optional(values[i]) : std::nullopt);
    }
    return scores;
  }

 private:
  const mmada_reward_plugin& plugin_;
  void* state_ = nullptr;
};

}  // namespace
}  // namespace mmada

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: mmada-reward-host LIBRARY [CONFIG]\n");
    return 2;
  }
  const std::string library = argv[1], config = argc > 2 ? argv[2] : "{}";
  return mmada::serve_reward("mmada-reward-host",
                             [&] { return std::make_unique<mmada::PluginReward>(library, config); });
}
