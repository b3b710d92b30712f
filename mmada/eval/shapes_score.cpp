// SPDX-License-Identifier: MIT
#include "mmada/eval/shapes_score.h"

#include <algorithm>
#include <cmath>

#include "mmada/text/chat.h"

namespace mmada {

void PictureScore::add(const FoundScene& found, const Scene& expected) {
  exact.add(found.matches(expected));
  for (const auto& object : expected) {
    const auto same_cell = [&](const SceneObject& other) { return other.cell == object.cell; };
    const auto seen = std::find_if(found.scene.begin(), found.scene.end(), same_cell);
    const bool there = seen != found.scene.end();
    presence.add(there);
    shape.add(there && seen->shape == object.shape);
    color.add(there && seen->color == object.color);
    size.add(there && seen->size == object.size);
  }
}

Json picture_score_json(const PictureScore& score) {
  Json json = tally_json(score.exact);
  json["attributes"] = {{"presence", score.presence.share()},
                        {"shape", score.shape.share()},
                        {"color", score.color.share()},
                        {"size", score.size.share()}};
  return json;
}

AnswerScore score_replies(const std::vector<AnswerKey>& expected, const std::vector<std::string>& replies) {
  MMADA_CHECK(replies.size() == expected.size(), "evaluation: found ", replies.size(), " replies, expected ",
              expected.size());
  AnswerScore score;
  std::vector<std::string> answers;
  for (size_t i = 0; i < expected.size(); ++i) {
    score.answer.add(split_answer(replies[i]).answer == expected[i].answer);
    score.whole_reply.add(replies[i] == expected[i].reply);
    answers.push_back(expected[i].answer);
  }
  score.chance = best_constant_share(answers);
  return score;
}

Json answer_score_json(const AnswerScore& score) {
  Json json = tally_json(score.answer);
  json["chance"] = score.chance;
  json["whole_reply"] = score.whole_reply.share();
  return json;
}

double picture_psnr(const Image& a, const Image& b) {
  MMADA_CHECK(a.width == b.width && a.height == b.height && a.channels == b.channels && !a.pixels.empty(),
              "psnr: found pictures of ", a.width, " x ", a.height, " and ", b.width, " x ", b.height,
              ", expected one size");
  double squared = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const double difference = static_cast<double>(a.pixels[i]) - static_cast<double>(b.pixels[i]);
    squared += difference * difference;
  }
  const double mean = squared / static_cast<double>(a.pixels.size());
  return mean == 0 ? 99.0 : std::min(99.0, 10 * std::log10(255.0 * 255.0 / mean));
}

Json reconstruction_score_json(const ReconstructionScore& score) {
  Json json = picture_score_json(score.pictures);
  json["psnr_db"] = score.psnr;
  json["codes_used"] = score.codes_used;
  json["code_perplexity"] = score.code_perplexity;
  return json;
}

}  // namespace mmada
