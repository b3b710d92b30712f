// SPDX-License-Identifier: MIT
#include "mmada/eval/shapes_suite.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

using namespace mmada;
using Catch::Matchers::Contains;

namespace {

/// Reads a caption back into a scene with the options' own words.
Scene scene_of(const ShapesOptions& options, const std::string& caption) {
  Scene scene;
  size_t begin = 0;
  while (begin < caption.size()) {
    size_t end = caption.find(" and ", begin);
    if (end == std::string::npos) end = caption.size();
    const std::string phrase = caption.substr(begin + 2, end - begin - 2);
    for (int shape = 0; shape < 4; ++shape)
      for (int color = 0; color < 8; ++color)
        for (int size = 0; size < 2; ++size)
          for (int cell = 0; cell < 4; ++cell) {
            const SceneObject object{shape, color, size, cell};
            if (object_phrase(options, object) == phrase) scene.push_back(object);
          }
    begin = end + 5;
  }
  return scene;
}

/// A model that draws right except that it paints every `wrong_every`-th picture without its last object.
ShapesModel synthetic_model(const ShapesOptions& options, int wrong_every) {
  ShapesModel model;
  model.draw = [options, wrong_every, n = 0](const std::vector<std::string>& captions) mutable {
    std::vector<Image> images;
    for (const auto& caption : captions) {
      Scene scene = scene_of(options, caption);
      if (n++ % wrong_every == 0) scene.pop_back();
      images.push_back(render_scene(options, scene));
    }
    return images;
  };
  model.solve = [](const std::vector<std::string>& questions) {
    std::vector<std::string> replies;
    for (const auto& question : questions) {
      const int a = std::stoi(question.substr(8)), b = std::stoi(question.substr(question.find('+') + 1));
      replies.push_back(a % 2 == 0 ? make_problem(a, b).reply() : "<think> no </think> 0");
    }
    return replies;
  };
  return model;
}

}  // namespace

TEST_CASE("a tally's interval is Wilson's") {
  // From the score equation |p - s| = z sqrt(p (1 - p) / n), whose two roots p the interval's ends are.
  for (const auto& [right, total] :
       std::vector<std::pair<int, int>>{{0, 10}, {10, 10}, {7, 10}, {930, 1000}}) {
    const auto [low, high] = Tally{right, total}.interval();
    const double share = static_cast<double>(right) / total;
    for (const double p : {low, high})
      if (p > 0 && p < 1)
        CHECK(std::abs(p - share) == Approx(1.959964 * std::sqrt(p * (1 - p) / total)).epsilon(1e-5));
    CHECK(low <= share);
    CHECK(high >= share);
  }
  CHECK(Tally{0, 0}.interval() == std::pair{0.0, 1.0});
  CHECK(Tally{10, 10}.interval().first == Approx(0.72246).epsilon(1e-4));
}

TEST_CASE("chance is what the best constant answer gets") {
  CHECK(best_constant_share({"yes", "no", "no", "no"}) == 0.75);
  CHECK(best_constant_share({}) == 0.0);
}

TEST_CASE("perplexity counts equally used codes and little else") {
  CHECK(perplexity({5, 5, 5, 5}) == Approx(4));
  CHECK(perplexity({5, 0}) == Approx(1));
  CHECK(perplexity({3, 1}) == Approx(std::exp(-0.75 * std::log(0.75) - 0.25 * std::log(0.25))));
}

TEST_CASE("replies are right by what follows the reasoning") {
  const std::vector<AnswerKey> keys = {{"82", "<think> a </think> 82"},
                                       {"82", "<think> a </think> 82"},
                                       {"yes", "yes"},
                                       {"7", "<think> b </think> 7"}};
  const auto score =
      score_replies(keys, {"<think> a </think> 82", "<think> wrong </think> 82 ", "yes", "<think> 7"});
  CHECK(score.answer == Tally{3, 4});
  CHECK(score.whole_reply == Tally{2, 4});
  CHECK(score.chance == 0.5);
  CHECK_THROWS_WITH(score_replies(keys, {"a"}), Contains("found 1 replies, expected 4"));
}

TEST_CASE("a picture's score counts each attribute in its cell") {
  PictureScore score;
  score.add({{{0, 1, 1, 0}, {2, 3, 0, 2}}, 0}, {{0, 1, 0, 0}, {2, 3, 0, 2}, {1, 1, 1, 3}});
  CHECK(score.exact == Tally{0, 1});
  CHECK(score.presence == Tally{2, 3});
  CHECK(score.shape == Tally{2, 3});
  CHECK(score.color == Tally{2, 3});
  CHECK(score.size == Tally{1, 3});
  score.add({{{0, 1, 1, 0}}, 1}, {{0, 1, 1, 0}});
  CHECK(score.exact == Tally{0, 2});
}

TEST_CASE("psnr is that of the mean squared error, and 99 dB for equal pictures") {
  Image a{.width = 2, .height = 1, .channels = 3, .pixels = {0, 0, 0, 10, 10, 10}};
  Image b = a;
  CHECK(picture_psnr(a, b) == 99.0);
  b.pixels[0] = 6;
  CHECK(picture_psnr(a, b) == Approx(10 * std::log10(255.0 * 255.0 / 6.0)));
  b.width = 1;
  CHECK_THROWS_AS(picture_psnr(a, b), Error);
}

TEST_CASE("the suite counts exactly what a synthetic model gets wrong") {
  ShapesSuiteOptions options;
  options.count = 40;
  options.batch = 7;
  const auto model = synthetic_model(options.shapes, 4);
  const auto result = run_shapes_suite(model, options);
  for (const auto* part : {&result.seen, &result.heldout}) {
    REQUIRE(part->draw.size() == 3);
    for (const auto& score : part->draw) CHECK(score.exact == Tally{30, 40});
    CHECK(part->draw[1].presence == Tally{70, 80});
    int even = 0;
    const auto split = part == &result.seen ? ShapesSplit::kTrain : ShapesSplit::kHeldOut;
    for (int i = 0; i < 40; ++i) even += arithmetic_sample(options.shapes, split, options.seed, i).a % 2 == 0;
    CHECK(part->arithmetic.answer == Tally{even, 40});
    CHECK(part->arithmetic.whole_reply == Tally{even, 40});
    CHECK(part->questions.empty());
  }
  const Json json = shapes_result_json(result, model);
  CHECK(json["seen"]["draw"]["2"]["share"] == 0.75);
  CHECK_FALSE(json["seen"].contains("questions"));
  CHECK_THAT(shapes_result_text(json), Contains("draw 2") && Contains("75.0 %") && Contains("30 of 40"));
}

TEST_CASE("a model that looks gets questions right and one that answers blindly gets chance") {
  ShapesSuiteOptions options;
  options.count = 30;
  options.shuffled = true;
  const ShapeFinder finder(options.shapes);
  ShapesModel model;
  model.answer = [&](const std::vector<Image>& images, const std::vector<std::string>& questions) {
    std::vector<std::string> replies;
    for (size_t i = 0; i < images.size(); ++i) {
      const Scene scene = finder.find(images[i]).scene;
      std::string reply = "?";  // tries every question it could be asked about what it sees
      for (int kind = 0; kind < kQuestionKinds && reply == "?"; ++kind)
        for (uint64_t attempt = 0; attempt < 400 && reply == "?"; ++attempt) {
          Rng rng(attempt, "guess");
          const auto question = ask(options.shapes, scene, static_cast<QuestionKind>(kind), rng);
          if (question && question->text == questions[i]) reply = question->reply();
        }
      replies.push_back(reply);
    }
    return replies;
  };
  const auto result = run_shapes_suite(model, options);
  for (const auto* part : {&result.seen, &result.heldout}) {
    CHECK(part->questions.size() == 6);
    CHECK(all_questions(part->questions).answer.share() > 0.97);
    CHECK(all_questions(part->shuffled_questions).answer.share() < 0.5);
  }
  CHECK(all_questions(result.seen.questions).answer.total == 150);
}

TEST_CASE("reconstruction is measured on pictures of every number of shapes, with the codes counted") {
  ShapesSuiteOptions options;
  options.count = 10;
  options.batch = 4;
  ShapesModel model;
  model.reconstruct = [](const std::vector<Image>& images, std::vector<int64_t>& codes) {
    for (size_t i = 0; i < images.size(); ++i) codes.insert(codes.end(), {3, 5});
    return images;
  };
  const auto result = run_shapes_suite(model, options);
  CHECK(result.seen.reconstruction.pictures.exact == Tally{30, 30});
  CHECK(result.seen.reconstruction.psnr == Approx(99.0));
  CHECK(result.seen.reconstruction.codes_used == 2);
  CHECK(result.seen.reconstruction.code_perplexity == Approx(2.0));
}

TEST_CASE("held-out questions are asked about scenes with a pair that training never shows") {
  ShapesSuiteOptions options;
  for (int k = 0; k < kQuestionKinds; ++k)
    for (int i = 0; i < 50; ++i) {
      const auto kind = static_cast<QuestionKind>(k);
      int held = 0;
      for (const auto& object : asked_scene(options, ShapesSplit::kHeldOut, kind, i).scene)
        held += options.shapes.pair_held_out(object.shape, object.color);
      CHECK(held == 1);
      for (const auto& object : asked_scene(options, ShapesSplit::kTrain, kind, i).scene)
        CHECK_FALSE(options.shapes.pair_held_out(object.shape, object.color));
    }
}
