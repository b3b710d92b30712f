// SPDX-License-Identifier: MIT
#include "mmada/eval/shapes_suite.h"

#include <algorithm>
#include <cstdio>

#include "mmada/data/shapes_render.h"

namespace mmada {
namespace {

/// Cuts a list into batches, runs each, and collects what comes back in order.
template <class Out, class Run>
std::vector<Out> in_batches(const ShapesSuiteOptions& options, const std::string& what, int64_t total,
                            Run run) {
  std::vector<Out> all;
  for (int64_t begin = 0; begin < total; begin += options.batch) {
    const int64_t end = std::min(total, begin + options.batch);
    std::vector<Out> part = run(begin, end);
    MMADA_CHECK(static_cast<int64_t>(part.size()) == end - begin, what, ": found ", part.size(),
                " results, expected ", end - begin);
    std::move(part.begin(), part.end(), std::back_inserter(all));
    if (options.progress) options.progress(what, end, total);
  }
  return all;
}

const char* label_of(ShapesSplit split) { return split == ShapesSplit::kTrain ? "seen" : "heldout"; }

template <class T>
std::vector<T> slice(const std::vector<T>& list, int64_t begin, int64_t end) {
  return {list.begin() + begin, list.begin() + end};
}

std::vector<Scene> scenes_of(const ShapesSuiteOptions& options, ShapesSplit split, const std::string& purpose,
                             int64_t shapes) {
  std::vector<Scene> scenes;
  for (int64_t i = 0; i < options.count; ++i) {
    Rng rng(options.seed, cat("eval/", purpose, "/", shapes_split_name(split), "/", shapes),
            static_cast<uint64_t>(i));
    scenes.push_back(draw_scene(options.shapes, split, shapes, rng));
  }
  return scenes;
}

std::vector<Image> render_all(const ShapesOptions& options, const std::vector<Scene>& scenes) {
  std::vector<Image> images;
  for (const auto& scene : scenes) images.push_back(render_scene(options, scene));
  return images;
}

void run_draw(const ShapesModel& model, const ShapesSuiteOptions& options, ShapesSplit split,
              ShapesSplitResult& result) {
  const ShapeFinder finder(options.shapes);
  for (int64_t shapes = 1; shapes <= options.most_shapes; ++shapes) {
    const auto scenes = scenes_of(options, split, "draw", shapes);
    std::vector<std::string> captions;
    for (const auto& scene : scenes) captions.push_back(scene_caption(options.shapes, scene));
    const auto images = in_batches<Image>(
        options, cat("drawing ", label_of(split), " ", shapes), options.count,
        [&](int64_t begin, int64_t end) { return model.draw(slice(captions, begin, end)); });
    PictureScore score;
    for (size_t i = 0; i < images.size(); ++i) score.add(finder.find(images[i]), scenes[i]);
    result.draw.push_back(score);
  }
}

void run_questions(const ShapesModel& model, const ShapesSuiteOptions& options, ShapesSplit split,
                   ShapesSplitResult& result) {
  for (int k = 0; k < kQuestionKinds; ++k) {
    const auto kind = static_cast<QuestionKind>(k);
    std::vector<Image> images;
    std::vector<std::string> questions;
    std::vector<AnswerKey> keys;
    for (int64_t i = 0; i < options.count; ++i) {
      const auto [scene, question] = asked_scene(options, split, kind, i);
      images.push_back(render_scene(options.shapes, scene));
      questions.push_back(question.text);
      keys.push_back({question.answer, question.reply()});
    }
    const auto ask_all = [&](const char* what) {
      return score_replies(keys, in_batches<std::string>(
                                     options, cat(what, " ", label_of(split), " ", question_kind_name(kind)),
                                     options.count, [&](int64_t begin, int64_t end) {
                                       return model.answer(slice(images, begin, end),
                                                           slice(questions, begin, end));
                                     }));
    };
    result.questions[kind] = ask_all("questions");
    if (!options.shuffled) continue;
    std::rotate(images.begin(), images.begin() + 1, images.end());
    result.shuffled_questions[kind] = ask_all("shuffled questions");
  }
}

void run_arithmetic(const ShapesModel& model, const ShapesSuiteOptions& options, ShapesSplit split,
                    ShapesSplitResult& result) {
  std::vector<std::string> questions;
  std::vector<AnswerKey> keys;
  for (int64_t i = 0; i < options.count; ++i) {
    const auto problem = arithmetic_sample(options.shapes, split, options.seed, static_cast<uint64_t>(i));
    questions.push_back(problem.text);
    keys.push_back({problem.answer, problem.reply()});
  }
  result.arithmetic = score_replies(
      keys, in_batches<std::string>(
                options, cat("arithmetic ", label_of(split)), options.count,
                [&](int64_t begin, int64_t end) { return model.solve(slice(questions, begin, end)); }));
}

void run_reconstruction(const ShapesModel& model, const ShapesSuiteOptions& options, ShapesSplit split,
                        ShapesSplitResult& result) {
  std::vector<Scene> scenes;  // equally many of every number of shapes
  for (int64_t shapes = 1; shapes <= options.most_shapes; ++shapes) {
    auto part = scenes_of(options, split, "reconstruction", shapes);
    std::move(part.begin(), part.end(), std::back_inserter(scenes));
  }
  const auto originals = render_all(options.shapes, scenes);
  std::vector<int64_t> codes;
  const auto images = in_batches<Image>(
      options, cat("reconstruction ", label_of(split)), static_cast<int64_t>(scenes.size()),
      [&](int64_t begin, int64_t end) { return model.reconstruct(slice(originals, begin, end), codes); });
  const ShapeFinder finder(options.shapes);
  std::map<int64_t, int64_t> uses;
  for (const int64_t code : codes) ++uses[code];
  std::vector<int64_t> counts;
  for (const auto& [code, count] : uses) counts.push_back(count);
  auto& score = result.reconstruction;
  for (size_t i = 0; i < images.size(); ++i) {
    score.pictures.add(finder.find(images[i]), scenes[i]);
    score.psnr += picture_psnr(originals[i], images[i]) / static_cast<double>(images.size());
  }
  score.codes_used = static_cast<int64_t>(counts.size());
  score.code_perplexity = perplexity(counts);
}

Json questions_json(const std::map<QuestionKind, AnswerScore>& questions) {
  Json json = Json::object();
  for (const auto& [kind, score] : questions) json[question_kind_name(kind)] = answer_score_json(score);
  json["all"] = answer_score_json(all_questions(questions));
  return json;
}

Json split_json(const ShapesSplitResult& result, const ShapesModel& model) {
  Json json = Json::object();
  if (model.draw)
    for (size_t i = 0; i < result.draw.size(); ++i)
      json["draw"][std::to_string(i + 1)] = picture_score_json(result.draw[i]);
  if (model.answer) json["questions"] = questions_json(result.questions);
  if (!result.shuffled_questions.empty())
    json["shuffled_questions"] = questions_json(result.shuffled_questions);
  if (model.solve) json["arithmetic"] = answer_score_json(result.arithmetic);
  if (model.reconstruct) json["reconstruction"] = reconstruction_score_json(result.reconstruction);
  return json;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%5.1f %%", 100 * share);
  return text;
}

/// "  draw 1 shape    93.0 %  (86.3 - 96.6 %)  93 of 100" and what else the entry knows.
std::string line(const std::string& label, const Json& entry) {
  std::string text = "  " + label + std::string(label.size() < 22 ? 22 - label.size() : 1, ' ');
  text += percent(entry["share"]) + "  (" + percent(entry["low"]) + " - " + percent(entry["high"]) + ")  " +
          entry["right"].dump() + " of " + entry["total"].dump();
  if (entry.contains("chance")) text += "   chance " + percent(entry["chance"]);
  if (entry.contains("attributes"))
    for (const auto& [name, share] : entry["attributes"].items()) text += "   " + name + " " + percent(share);
  if (entry.contains("psnr_db")) {
    char more[96];
    std::snprintf(more, sizeof more, "   %.2f dB, %lld codes used (perplexity %.1f)",
                  entry["psnr_db"].get<double>(), static_cast<long long>(entry["codes_used"].get<int64_t>()),
                  entry["code_perplexity"].get<double>());
    text += more;
  }
  return text + "\n";
}

}  // namespace

AskedScene asked_scene(const ShapesSuiteOptions& options, ShapesSplit split, QuestionKind kind,
                       int64_t index) {
  Rng rng(options.seed, cat("eval/questions/", shapes_split_name(split), "/", question_kind_name(kind)),
          static_cast<uint64_t>(index));
  while (true) {  // until a scene can answer the kind: comparing needs two shapes
    const auto shapes = 1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(options.most_shapes)));
    const Scene scene = draw_scene(options.shapes, split, shapes, rng);
    if (const auto question = ask(options.shapes, scene, kind, rng)) return {scene, *question};
  }
}

ShapesResult run_shapes_suite(const ShapesModel& model, const ShapesSuiteOptions& options) {
  MMADA_CHECK(options.count >= 1 && options.batch >= 1, "shapes suite: found count ", options.count,
              " and batch ", options.batch, ", expected at least 1");
  MMADA_CHECK(options.most_shapes >= 2 && options.most_shapes <= options.shapes.cells(),
              "shapes suite: found up to ", options.most_shapes, " shapes, expected 2 to ",
              options.shapes.cells());
  ShapesResult result;
  for (const auto split : {ShapesSplit::kTrain, ShapesSplit::kHeldOut}) {
    auto& part = split == ShapesSplit::kTrain ? result.seen : result.heldout;
    if (model.reconstruct) run_reconstruction(model, options, split, part);
    if (model.draw) run_draw(model, options, split, part);
    if (model.answer) run_questions(model, options, split, part);
    if (model.solve) run_arithmetic(model, options, split, part);
  }
  return result;
}

AnswerScore all_questions(const std::map<QuestionKind, AnswerScore>& questions) {
  AnswerScore all;
  int kinds = 0;
  for (const auto& [kind, score] : questions) {
    if (kind == QuestionKind::kDescribe) continue;
    all.answer += score.answer;
    all.whole_reply += score.whole_reply;
    all.chance += score.chance;
    ++kinds;
  }
  if (kinds > 0) all.chance /= kinds;
  return all;
}

Json shapes_result_json(const ShapesResult& result, const ShapesModel& model) {
  return {{"seen", split_json(result.seen, model)}, {"heldout", split_json(result.heldout, model)}};
}

std::string shapes_result_text(const Json& result) {
  std::string text;
  for (const char* split : {"seen", "heldout"}) {
    text += std::string(split) + "\n";
    const Json& part = result.at(split);
    if (part.contains("reconstruction")) text += line("reconstruction", part["reconstruction"]);
    if (part.contains("draw"))
      for (const auto& [shapes, entry] : part["draw"].items()) text += line("draw " + shapes, entry);
    for (const char* group : {"questions", "shuffled_questions"})
      if (part.contains(group))
        for (const auto& [kind, entry] : part[group].items())
          text += line((group[0] == 's' ? "shuffled " : "question ") + kind, entry);
    if (part.contains("arithmetic")) text += line("arithmetic", part["arithmetic"]);
  }
  return text;
}

}  // namespace mmada
