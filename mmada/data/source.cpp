// SPDX-License-Identifier: MIT
#include "mmada/data/source.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mmada/core/rng.h"
#include "mmada/data/folders.h"
#include "mmada/data/jsonl.h"
#include "mmada/data/parquet.h"
#include "mmada/data/prefetch.h"
#include "mmada/data/shapes_source.h"
#include "mmada/data/tables.h"
#include "mmada/data/webdataset.h"
#include "mmada/vision/transforms.h"

namespace mmada {
namespace {

class MixtureSource final : public SampleSource {
 public:
  MixtureSource(std::vector<double> weights, std::vector<std::unique_ptr<SampleSource>> sources,
                uint64_t seed)
      : weights_(std::move(weights)), sources_(std::move(sources)), seed_(seed) {}

  Sample next() override {
    Sample sample = chosen().next();
    ++index_;  // after it: a sample that fails is met again
    return sample;
  }

  PendingSample defer() override {
    PendingSample work = chosen().defer();
    ++index_;
    return work;
  }

  void skip(int64_t count) override {
    for (; count > 0; --count, ++index_) chosen().skip(1);
  }

  Json skipped() const override {
    Json total = Json::object();
    for (const auto& source : sources_) {
      const Json skipped = source->skipped();
      for (const auto& [reason, count] : skipped.items())
        total[reason] = total.value(reason, int64_t{0}) + count.get<int64_t>();
    }
    return total;
  }

  Json state() const override {
    Json states = Json::array();
    for (const auto& source : sources_) states.push_back(source->state());
    return {{"index", index_}, {"sources", std::move(states)}};
  }

  void restore(const Json& state) override {
    Fields fields(state, "mixture state");
    const auto index = static_cast<uint64_t>(fields.integer("index", 0, INT64_MAX));
    const Json& states = fields.raw("sources");
    if (!states.is_array() || states.size() != sources_.size())
      fields.fail("sources", states.is_array() ? cat(states.size(), " states") : found_text(states),
                  cat(sources_.size(), " states, one for each source"));
    fields.finish();
    for (size_t i = 0; i < sources_.size(); ++i) sources_[i]->restore(states[i]);
    index_ = index;
  }

 private:
  SampleSource& chosen() {
    Rng rng(seed_, "mixture/choice", index_);
    return *sources_[draw_weighted(weights_.data(), weights_.size(), rng)];
  }

  std::vector<double> weights_;
  std::vector<std::unique_ptr<SampleSource>> sources_;
  uint64_t seed_;
  uint64_t index_ = 0;
};

/// Samples of another source with a fit for those that have none.
class FittedSource final : public SampleSource {
 public:
  FittedSource(std::unique_ptr<SampleSource> source, Fit fit) : source_(std::move(source)), fit_(fit) {}

  Sample next() override { return fitted(source_->next(), fit_); }
  void skip(int64_t count) override { source_->skip(count); }
  PendingSample defer() override {
    return [work = source_->defer(), fit = fit_]() -> std::optional<Sample> {
      std::optional<Sample> sample = work();
      if (sample) sample = fitted(std::move(*sample), fit);
      return sample;
    };
  }
  Json skipped() const override { return source_->skipped(); }
  Json state() const override { return source_->state(); }
  void restore(const Json& state) override { source_->restore(state); }

 private:
  static Sample fitted(Sample sample, Fit fit) {
    if (!sample.fit) sample.fit = fit;
    return sample;
  }

  std::unique_ptr<SampleSource> source_;
  Fit fit_;
};

}  // namespace

std::unique_ptr<SampleSource> make_mixture_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  const Json& list = fields.raw("sources");
  if (!list.is_array() || list.empty())
    fields.fail("sources", found_text(list), "a list of {\"weight\", \"source\"}");
  fields.finish();
  std::vector<double> weights;
  std::vector<std::unique_ptr<SampleSource>> sources;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = cat(source_name, ": sources[", i, "]");
    Fields entry(list[i], place);
    weights.push_back(entry.number("weight", 1e-9, 1e9, 1.0));
    // A stream of its own for every source: two of the same kind must not yield the same samples.
    sources.push_back(make_source(entry.raw("source"), place, stream_key(seed, cat("mixture/", i))));
    entry.finish();
  }
  return std::make_unique<MixtureSource>(std::move(weights), std::move(sources), seed);
}

namespace {

std::unique_ptr<SampleSource> make_plain_source(const Json& options, const std::string& source_name,
                                                uint64_t seed) {
  using Make = std::unique_ptr<SampleSource> (*)(const Json&, const std::string&, uint64_t);
  static const std::vector<std::pair<std::string, Make>> kMakers = {
      {"shapes", make_shapes_source},
      {"jsonl", make_jsonl_source},
      {"mixture", make_mixture_source},
      {"webdataset", make_webdataset_source},
      {"vqa_json", make_vqa_json_source},
      {"cot_csv", make_cot_csv_source},
      {"parquet", make_parquet_source},
      {"image_folder", make_image_folder_source},
      {"caption_folder", make_caption_folder_source},
      {"r2i_folder", make_r2i_folder_source},
  };
  std::vector<std::string> types;
  for (const auto& [name, make] : kMakers) types.push_back(name);
  const std::string type = Fields(options, source_name).choice("type", types);
  return std::ranges::find(kMakers, type, &std::pair<std::string, Make>::first)
      ->second(options, source_name, seed);
}

}  // namespace

std::unique_ptr<SampleSource> make_source(const Json& options, const std::string& source_name,
                                          uint64_t seed) {
  Fields fields(options, source_name);
  const int64_t workers = fields.integer("workers", 0, 256, 0);
  const int64_t ahead = fields.integer("prefetch", 1, 1'000'000, 4 * std::max<int64_t>(workers, 1));
  Json plain = options;
  plain.erase("workers");
  plain.erase("prefetch");
  plain.erase("fit");
  std::optional<Fit> fit;
  if (fields.has("fit")) fit = fit_from_name(fields.choice("fit", {"clip", "squash", "pad"}));
  if (fit && options.value("type", Json()) == "parquet")
    fields.fail("fit", options.at("fit").dump(), "none: the source has no pictures");
  auto source = make_plain_source(plain, source_name, seed);
  if (fit) source = std::make_unique<FittedSource>(std::move(source), *fit);
  return workers == 0 ? std::move(source) : make_prefetch_source(std::move(source), workers, ahead);
}

std::vector<Sample> next_samples(SampleSource& source, int64_t count) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back(source.next());
  return samples;
}

}  // namespace mmada
