// SPDX-License-Identifier: MIT
// What a trainer saves, and goes on from.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <ostream>

#include "mmada/core/version.h"
#include "mmada/trainer/checkpoint.h"
#include "mmada/trainer/trainer.h"

namespace mmada {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr int64_t kFormatVersion = 1;

/// Which has to be read by the program that wrote it.
bool newer_format(const Json& state) {
  const auto version = state.is_object() ? state.find("format_version") : state.end();
  return version != state.end() && version->is_number_integer() && version->get<int64_t>() > kFormatVersion;
}

/// The step of a checkpoint; by its folder's name where state.json need not be what was saved.
int64_t step_of(const std::string& path, bool allow_partial) {
  if (allow_partial)
    if (const auto named = checkpoint_step(path)) return *named;
  const std::string source = path + "/state.json";
  const Json state = read_json_file(source, kLargeJson);
  return Fields(state, source).integer("step", 0, kMaxSteps);
}

}  // namespace

/// What a checkpoint of `step` holds; of one that need not be whole, what is there.
void Trainer::restore(const std::string& path, int64_t step) {
  MissingParts missing;
  const Json state = load_checkpoint(path, tensors(), group_, options_.allow_partial ? &missing : nullptr);
  bool known = true;
  try {
    restore_state(state, path);
  } catch (const OtherBase&) {
    throw;
  } catch (const Error& error) {
    if (!options_.allow_partial || newer_format(state)) throw;
    known = false;
    if (!state.is_null()) missing.reasons.emplace_back(error.what());
    optimizer_.set_steps(step);
  }
  const double unknown = group_.sum({known ? 0.0 : 1.0}).front();
  MMADA_CHECK(unknown == 0 || unknown == group_.size(), path, "/state.json: found unreadable in ", unknown,
              " processes of ", group_.size(), ", expected the same in all");
  if (missing.moments) optimizer_.forget_moments();
  if (missing.averages) optimizer_.forget_averages();
  optimizer_.publish();
  constexpr size_t kNamed = 8;
  for (size_t i = 0; i < std::min(kNamed, missing.reasons.size()); ++i)
    notice("not there: " + missing.reasons[i]);
  if (missing.reasons.size() > kNamed) notice(cat("not there: ", missing.reasons.size() - kNamed, " more"));
  if (!known)
    notice(
        "the data's positions, and what else state.json should say, begin anew where they could not be read");
  if (missing.moments) notice("the optimizer's moments begin anew");
  if (missing.averages) notice("the averaged weights begin anew, with the weights");
}

void Trainer::restore_state(const Json& state, const std::string& path) {
  Fields fields(state, path + "/state.json");
  fields.integer("format_version", kFormatVersion, kFormatVersion);
  fields.integer("step", 0, kMaxSteps);
  optimizer_.set_steps(fields.integer("optimizer_steps", 0, kMaxSteps));
  productive_seconds_ = fields.number("productive_seconds", 0.0, 1e18, 0.0);
  const int64_t threads = fields.integer("threads", 1, 1 << 20);
  if (threads != at::get_num_threads())
    notice(cat("note: the checkpoint was made with ", threads, " threads, this process has ",
               at::get_num_threads(), ": results will differ in the last bits"));
  const int64_t processes = fields.integer("processes", 1, 1 << 20);
  if (processes != group_.size())
    notice(cat("note: the checkpoint was made by ", processes, " processes, this run has ", group_.size(),
               ": results will differ in the last bits"));
  const auto seed = static_cast<uint64_t>(fields.integer("seed", 0, INT64_MAX));
  if (seed != options_.seed)
    notice(cat("note: the checkpoint's seed is ", seed, ", this run's is ", options_.seed));
  const Json& own = fields.raw("train_step");
  if (!own.is_object()) fields.fail("train_step", "nothing", "the data positions");
  try {
    step_.restore(own);
  } catch (const OtherBase& error) {  // names the file alone
    throw OtherBase(cat(path, "/", error.what()));
  } catch (const Error& error) {
    throw Error(cat(path, "/", error.what()));
  }
  if (fields.raw("config") != options_.config)
    notice("note: the configuration differs from the checkpoint's");
  for (const char* informative : {"versions", "lr_scale"}) fields.ignore(informative);
  fields.finish();
}

std::optional<std::string> Trainer::verify(const std::string& path) const {
  return verify_checkpoint(path, options_.allow_partial ? Wholeness::kWeights : Wholeness::kEverything);
}

/// Path of the checkpoint to go on from, empty where there is none; in rank 0.
std::string Trainer::find_checkpoint() const {
  const std::string& path = options_.resume_from_checkpoint;
  if (path != "latest") {
    const auto problem = verify(path);
    MMADA_CHECK(!problem, path, ": ", problem.value_or(""));
    return path;
  }
  std::vector<std::string> refused;
  const auto found = newest_checkpoint(options_.output_dir, &refused);
  for (const std::string& reason : refused) notice("passing over " + reason);
  if (!found && options_.allow_partial)
    for (const FoundCheckpoint& candidate : list_checkpoints(options_.output_dir))
      if (!verify(candidate.path)) return candidate.path;
  MMADA_CHECK(found || refused.empty(), options_.output_dir,
              ": none of its checkpoints verifies; start anew with resume_from_checkpoint=none",
              options_.allow_partial ? "" : ", or go on from whole weights alone with --allow-partial");
  return found ? found->path : "";
}

int64_t Trainer::resume() {
  if (options_.resume_from_checkpoint == "none") return 0;
  std::string path = options_.resume_from_checkpoint;
  const at::Tensor step = at::full({1}, -1, at::kLong);
  group_.agree("looking for a checkpoint", [&] {
    if (group_.rank() != 0) return;
    path = find_checkpoint();
    if (!path.empty()) step.fill_(step_of(path, options_.allow_partial));
  });
  group_.broadcast(step);
  const auto found = step.item<int64_t>();
  if (found < 0) return 0;
  if (options_.resume_from_checkpoint == "latest") path = checkpoint_path(options_.output_dir, found);
  restore(path, found);
  notice(cat("resuming from ", path, " at step ", found));
  return found;
}

/// Everything that checkpoints hold of this process.
std::vector<CheckpointTensor> Trainer::tensors() const {
  std::vector<CheckpointTensor> all = optimizer_.state();
  for (CheckpointTensor& own : step_.tensors()) all.push_back(std::move(own));
  return all;
}

Json Trainer::state(int64_t step) const {
  // Random streams are functions of the seed and the step, so that these two are the whole random state.
  return {{"format_version", kFormatVersion},
          {"step", step},
          {"optimizer_steps", optimizer_.steps()},
          {"productive_seconds", productive_seconds_},
          {"seed", options_.seed},
          {"lr_scale", options_.lr_scheduler.factor(step)},
          {"threads", at::get_num_threads()},
          {"processes", group_.size()},
          {"versions", {{"mmada", MMADA_VERSION}, {"libtorch", TORCH_VERSION}}},
          {"train_step", step_.state()},
          {"config", options_.config}};
}

/// Returns the seconds that training stood still.
double Trainer::save(int64_t step) {
  const auto begin = std::chrono::steady_clock::now();
  const CheckpointContents contents{
      .step = step,
      .tensors = tensors(),
      .state = state(step),
      .save_model =
          [&](const std::string& directory) {
            step_.save_model(directory + "/unwrapped_model");
            if (optimizer_.has_ema())
              optimizer_.with_ema([&] { step_.save_model(directory + "/unwrapped_model_ema"); });
          },
      .stage_model =
          [&](const std::string& directory) {
            std::vector<std::function<void()>> parts{step_.stage_model(directory + "/unwrapped_model")};
            if (optimizer_.has_ema())
              optimizer_.with_ema(
                  [&] { parts.push_back(step_.stage_model(directory + "/unwrapped_model_ema")); });
            return [parts] {
              for (const auto& part : parts) part();
            };
          }};
  saver_.save(contents);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace mmada
