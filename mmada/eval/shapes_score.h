// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/eval/shape_finder.h"
#include "mmada/eval/statistics.h"

namespace mmada {

/// What a picture shows of what it should show.
struct PictureScore {
  Tally exact;               ///< every object there with every attribute, nothing else, nothing unreadable
  Tally presence;            ///< of the expected objects: some object stands in the cell
  Tally shape, color, size;  ///< of the expected objects: right in the right cell

  void add(const FoundScene& found, const Scene& expected);
};
Json picture_score_json(const PictureScore& score);

struct AnswerKey {
  std::string answer;  ///< what follows the reasoning
  std::string reply;   ///< reasoning and answer
};
struct AnswerScore {
  Tally answer;         ///< what follows "</think>" equals the expected answer
  Tally whole_reply;    ///< reasoning and answer equal the expected ones
  double chance = 0.0;  ///< share of the best constant answer
};
AnswerScore score_replies(const std::vector<AnswerKey>& expected, const std::vector<std::string>& replies);
Json answer_score_json(const AnswerScore& score);

/// 10 log10(255^2 / mean squared error) in dB of two pictures of one size, at most 99.
double picture_psnr(const Image& a, const Image& b);

struct ReconstructionScore {
  PictureScore pictures;
  double psnr = 0.0;  ///< dB, mean over the pictures
  int64_t codes_used = 0;
  double code_perplexity = 0.0;
};
Json reconstruction_score_json(const ReconstructionScore& score);

}  // namespace mmada
