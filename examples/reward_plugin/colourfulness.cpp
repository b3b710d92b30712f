// SPDX-License-Identifier: MIT
// An example of a reward in a shared library: how colourful a drawn picture is, by Hasler and Suesstrunk
// (Measuring colourfulness in natural images, 2003), from 0 for grey to 1 at "full", which is 109 ("extremely
// colourful") unless the configuration says otherwise. No opinion where nothing was drawn.
//
//   {"type": "plugin", "library": "colourfulness.so", "config": {"full": 109}}
#include <mmada/rewards/plugin.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace {

using mmada::plugin::Picture;
using mmada::plugin::Sample;
using mmada::plugin::Scores;

struct Moments {
  double sum = 0, squares = 0;
  void add(double x) { sum += x, squares += x * x; }
  double mean(double n) const { return sum / n; }
  double variance(double n) const { return std::max(0.0, squares / n - mean(n) * mean(n)); }
};

double colourfulness(const Picture& picture) {
  Moments red_green, yellow_blue;
  const size_t pixels = size_t{picture.width} * picture.height;
  for (size_t i = 0; i < pixels; ++i) {
    const double r = picture.rgb[3 * i], g = picture.rgb[3 * i + 1], b = picture.rgb[3 * i + 2];
    red_green.add(r - g);
    yellow_blue.add((r + g) / 2 - b);
  }
  const auto n = static_cast<double>(pixels);
  return std::sqrt(red_green.variance(n) + yellow_blue.variance(n)) +
         0.3 * std::hypot(red_green.mean(n), yellow_blue.mean(n));
}

class Colourfulness : public mmada::plugin::Reward {
 public:
  explicit Colourfulness(std::string_view config)
      : full_(nlohmann::json::parse(config).value("full", 109.0)) {
    if (!(full_ > 0)) throw std::runtime_error("config: found a \"full\" that is not above 0");
  }

  Scores score(const std::vector<Sample>& samples) override {
    Scores scores;
    for (const Sample& sample : samples)
      scores.push_back(sample.picture ? std::optional(std::min(1.0, colourfulness(*sample.picture) / full_))
                                      : std::nullopt);
    return scores;
  }

 private:
  double full_;
};

}  // namespace

MMADA_REWARD_PLUGIN(Colourfulness);
