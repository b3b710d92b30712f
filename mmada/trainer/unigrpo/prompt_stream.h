// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/generation/options.h"

namespace mmada {

/// What a prompt asks for.
enum class PromptTask {
  kText,  ///< an answer in words
  kMmu,   ///< an answer in words about a picture
  kT2i    ///< a picture
};
std::string_view prompt_task_name(PromptTask task);  ///< "text", "mmu", "t2i": RewardSample::task

/// One kind of prompts of a run, and how they are answered.
struct PromptStream {
  std::string name;  ///< unique; names its random streams and metrics. Default: the task
  PromptTask task = PromptTask::kText;
  int64_t prompts = 0;      ///< of an outer step, or of an evaluation
  TextOptions text = {};    ///< text, mmu
  ImageOptions image = {};  ///< t2i; its grid is the run's resolution's, its text budget max_seq_length
  /// text, mmu: tokens of the user's turn with its header and of the reply together, which is one block of
  /// what the question leaves, `tokens_per_step` of them in a step; 0: the sampler's lengths and steps.
  int64_t length = 0, tokens_per_step = 1;
  bool think = false;  ///< text, mmu: the chain-of-thought instruction stands before the question
  Json source = {};    ///< options of make_source; its samples are prompts
};

/// A list of
///   {"task": "text" | "mmu" | "t2i", "name", "prompts": 8, "sampler": NAME or fields, "length": 0,
///    "tokens_per_step": 1, "think": false, "source": {...}}
/// `path` names it in errors.
std::vector<PromptStream> parse_prompt_streams(const Json& list, const std::string& source,
                                               const std::string& path);

/// The samples of all streams in order, from sources whose positions are saved and restored.
class PromptSources {
 public:
  PromptSources(const std::vector<PromptStream>& streams, uint64_t seed, const std::string& path);

  struct Prompt {
    size_t stream = 0;
    Sample sample;
  };
  /// The next `prompts` of each stream.
  std::vector<Prompt> next();
  Json state() const;  ///< by the streams' names
  void restore(const Json& state, const std::string& source, const std::string& path);

 private:
  std::vector<PromptStream> streams_;
  std::vector<std::unique_ptr<SampleSource>> sources_;
};

}  // namespace mmada
