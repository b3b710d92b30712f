// SPDX-License-Identifier: MIT
#include "mmada/data/shapes_source.h"

#include <algorithm>

#include "mmada/data/conversation.h"
#include "mmada/text/chat.h"

namespace mmada {
namespace {

constexpr int64_t kMatchGroups = 6;

/// "a red circle and a blue square": what a request to draw says, and its caption says more of.
std::string names_of(const ShapesOptions& options, const Scene& scene) {
  std::string names;
  for (const SceneObject& object : scene)
    names += (names.empty() ? "a " : " and a ") + object_name(options, object);
  return names;
}

class ShapesSource final : public SampleSource {
 public:
  ShapesSource(ShapesOptions options, ShapesTask task, bool prompts, ShapesSplit split, uint64_t seed)
      : options_(std::move(options)), task_(task), prompts_(prompts), split_(split), seed_(seed) {
    if (task_ == ShapesTask::kLookup)  // a description has no scan to be read off
      options_.question_weights[static_cast<int>(QuestionKind::kDescribe)] = 0;
  }

  Sample next() override { return make(index_++); }
  void skip(int64_t count) override { index_ += static_cast<uint64_t>(count); }
  PendingSample defer() override {
    return [this, index = index_++] { return std::optional<Sample>(make(index)); };
  }

  Json state() const override { return {{"index", index_}}; }
  void restore(const Json& state) override {
    Fields fields(state, "shapes source state");
    index_ = static_cast<uint64_t>(fields.integer("index", 0, INT64_MAX));
    fields.finish();
  }

 private:
  Sample make_prompt(uint64_t index) const {
    if (task_ == ShapesTask::kArithmetic) {
      const auto problem = arithmetic_sample(options_, split_, seed_, index);
      return {.text = problem.text, .image = {}, .answer = problem.answer};
    }
    const auto sample = shapes_sample(options_, split_, seed_, index);
    const Json scene = scene_json(options_, sample.scene);
    if (task_ == ShapesTask::kCaption)
      return {.text = sample.caption, .image = {}, .metadata = {{"scene", scene}}};
    return {.text = sample.question.text,
            .image = render_scene(options_, sample.scene),
            .answer = sample.question.answer,
            .metadata = {{"scene", scene}, {"kind", question_kind_name(sample.question.kind)}}};
  }

  Sample make(uint64_t index) const {
    if (prompts_) return make_prompt(index);
    if (task_ == ShapesTask::kArithmetic) {
      const auto problem = arithmetic_sample(options_, split_, seed_, index);
      return {conversation_text(problem.text, problem.reply()), {}};
    }
    if (task_ == ShapesTask::kPicture) return {"", free_picture(options_, seed_, index)};
    Rng rng(seed_, "shapes/variation", index);
    if (task_ == ShapesTask::kMatches)
      return {conversation_text("match", draw_matches(options_, kMatchGroups, rng)), {}};
    const auto sample = shapes_sample(options_, split_, seed_, index);
    if (task_ == ShapesTask::kCaption) return {sample.caption, render_scene(options_, sample.scene)};
    if (task_ == ShapesTask::kR2i)
      return {r2i_text(names_of(options_, sample.scene), sample.caption),
              render_scene(options_, sample.scene)};
    const std::string text = conversation_text(sample.question.text, sample.question.reply());
    if (task_ == ShapesTask::kLookup) return {text, {}};
    return {text, render_varied(options_, sample.scene, index % 2 == 1, rng)};
  }

  ShapesOptions options_;
  ShapesTask task_;
  bool prompts_;
  ShapesSplit split_;
  uint64_t seed_;
  uint64_t index_ = 0;
};

}  // namespace

std::unique_ptr<SampleSource> make_shapes_source(const Json& options, const std::string& source_name,
                                                 uint64_t seed) {
  static const std::vector<std::string> kTasks = {"caption", "question", "arithmetic", "picture",
                                                  "lookup",  "matches",  "r2i"};
  Fields fields(options, source_name);
  fields.ignore("type");  // how the source was chosen
  const std::string task = fields.choice("task", kTasks);
  const auto split = shapes_split_from_name(fields.choice("split", {"train", "heldout"}, "train"));
  const bool prompts = fields.boolean("prompts", false);
  auto parsed = parse_shapes_options(fields);
  fields.finish();
  const auto& weights = parsed.question_weights;
  MMADA_CHECK(
      task != "lookup" || std::any_of(weights.begin() + 1, weights.end(), [](double w) { return w > 0; }),
      source_name,
      ": field `question_weights`: found nothing but describe, expected another kind: a description has no "
      "reasoning to be read off");
  MMADA_CHECK(!prompts || task == "caption" || task == "question" || task == "arithmetic", source_name,
              ": field `prompts`: found true beside task \"", task,
              "\", expected caption, question or arithmetic");
  const auto place = std::find(kTasks.begin(), kTasks.end(), task) - kTasks.begin();
  return std::make_unique<ShapesSource>(std::move(parsed), static_cast<ShapesTask>(place), prompts, split,
                                        seed);
}

}  // namespace mmada
