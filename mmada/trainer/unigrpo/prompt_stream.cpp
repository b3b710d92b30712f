// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/prompt_stream.h"

#include <algorithm>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/data/jsonl.h"
#include "mmada/data/source.h"
#include "mmada/generation/text_canvas.h"
#include "mmada/trainer/sampler_field.h"

namespace mmada {
namespace {

constexpr int64_t kMaxPrompts = 1 << 20, kMaxTokens = 1 << 20;
const std::vector<std::string> kTasks = {"text", "mmu", "t2i"};

PromptStream parse_stream(const Json& json, const std::string& source, const std::string& path) {
  Fields fields(json, source, path);
  PromptStream stream;
  const std::string task = fields.choice("task", kTasks);
  stream.task = static_cast<PromptTask>(std::ranges::find(kTasks, task) - kTasks.begin());
  stream.name = fields.string("name", task);
  stream.prompts = fields.integer("prompts", 1, kMaxPrompts);
  if (stream.task == PromptTask::kT2i) {
    stream.image = image_sampler(fields, "sampler", path);
  } else {
    stream.length = fields.integer("length", 0, kMaxTokens, 0);
    stream.tokens_per_step = fields.integer("tokens_per_step", 1, kMaxTokens, 1);
    stream.think = fields.boolean("think", false);
    stream.text = text_sampler(fields, "sampler", path);
  }
  stream.source = fields.raw("source");
  if (!stream.source.is_object())
    fields.fail("source", "no object",
                "a source of prompts such as {\"type\": \"jsonl\", \"format\": \"prompt\"}");
  fields.finish();
  return stream;
}

}  // namespace

std::string_view prompt_task_name(PromptTask task) { return kTasks[static_cast<size_t>(task)]; }

std::vector<PromptStream> parse_prompt_streams(const Json& list, const std::string& source,
                                               const std::string& path) {
  MMADA_CHECK(list.is_array() && !list.empty(), source, ": field `", path, "`: found ", found_text(list),
              ", expected a list of prompt streams");
  std::vector<PromptStream> streams;
  std::set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    streams.push_back(parse_stream(list[i], source, cat(path, "[", i, "]")));
    MMADA_CHECK(names.insert(streams.back().name).second, source, ": field `", path, "[", i,
                "].name`: found \"", streams.back().name, "\" twice, expected a name of its own");
  }
  return streams;
}

PromptSources::PromptSources(const std::vector<PromptStream>& streams, uint64_t seed, const std::string& path)
    : streams_(streams) {
  for (const PromptStream& stream : streams_)
    sources_.push_back(
        make_source(stream.task == PromptTask::kMmu ? with_pictures_required(stream.source) : stream.source,
                    cat(path, ".", stream.name, ".source"), stream_key(seed, "prompts/" + stream.name)));
}

std::vector<PromptSources::Prompt> PromptSources::next() {
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < streams_.size(); ++i)
    for (int64_t k = 0; k < streams_[i].prompts; ++k) {
      prompts.push_back({.stream = i, .sample = sources_[i]->next()});
      MMADA_CHECK(!prompts.back().sample.text.empty(), "prompt stream ", streams_[i].name,
                  ": found a sample without text, expected a prompt");
    }
  return prompts;
}

Json PromptSources::state() const {
  Json state = Json::object();
  for (size_t i = 0; i < streams_.size(); ++i) state[streams_[i].name] = sources_[i]->state();
  return state;
}

void PromptSources::restore(const Json& state, const std::string& source, const std::string& path) {
  Fields fields(state, source, path);
  for (size_t i = 0; i < streams_.size(); ++i) {
    const Json& position = fields.raw(streams_[i].name);
    if (position.is_null())
      fields.fail(streams_[i].name, "nothing", "the data position of this stream of prompts");
    sources_[i]->restore(position);
  }
  fields.finish();
}

}  // namespace mmada
