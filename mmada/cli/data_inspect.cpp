// SPDX-License-Identifier: MIT
#include "mmada/cli/data_inspect.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "mmada/cli/verb.h"
#include "mmada/core/config.h"
#include "mmada/core/quote.h"
#include "mmada/data/jsonl.h"
#include "mmada/data/source.h"
#include "mmada/text/tokenizer.h"
#include "mmada/vision/contact_sheet.h"
#include "mmada/vision/transforms.h"

namespace mmada::cli {
namespace {

constexpr int64_t kOfEndless = 1000;  ///< samples looked at where a source has no epochs
constexpr size_t kMostSizes = 20, kMostErrors = 20;

struct Options {
  std::string source, tokenizer, output;
  int64_t count = 0, columns = 4, size = 256;
  uint64_t seed = 0;
  bool json = false;
};

struct NamedSource {
  std::string name;
  Json options;
};

bool is_source(const Json& json) {
  return json.is_object() && json.contains("type") && json.at("type").is_string();
}

/// A stream of prompts about pictures, in a configuration of reinforcement learning.
bool asks_about_pictures(const Json& json) {
  return json.is_object() && json.contains("prompts") && json.contains("task") && json.at("task") == "mmu";
}

/// Every object under a key "source", with the path that leads there.
void collect(const Json& json, const std::string& path, std::vector<NamedSource>& found) {
  if (!json.is_structured()) return;
  size_t index = 0;
  for (const auto& [key, value] : json.items()) {
    const std::string place = (path.empty() ? "" : path + ".") + (json.is_array() ? cat(index++) : key);
    if (key == "source" && is_source(value))
      found.push_back({place, asks_about_pictures(json) ? with_pictures_required(value) : value});
    else
      collect(value, place, found);
  }
}

std::vector<NamedSource> find_sources(const std::string& argument) {
  const bool inlined = argument.starts_with('{');
  const Json json = inlined ? parse_json(argument, "source") : load_config(argument);
  const std::string name = inlined ? "source" : argument;
  if (is_source(json) && !json.contains("dataset")) return {{name, json}};
  std::vector<NamedSource> found;
  collect(json, "", found);
  MMADA_CHECK(!found.empty(), name,
              ": found no source, expected an object with \"type\", or a training configuration "
              "with a \"source\" in it");
  return found;
}

/// Draws `count` samples, or one epoch of them (kOfEndless where there are none), and hands each to `see`.
/// Gives the messages of those that failed; without `collect_errors` the first one is thrown.
std::vector<std::string> walk(SampleSource& source, int64_t count, bool collect_errors,
                              const std::function<void(const Sample&)>& see) {
  const bool epochs = source.state().contains("epoch");
  const int64_t limit = count > 0 ? count : epochs ? INT64_MAX : kOfEndless;
  const auto over = [&] { return count == 0 && epochs && source.state().at("epoch") > 0; };
  std::vector<std::string> errors;
  for (int64_t i = 0; i < limit && !over(); ++i) {
    try {
      const Sample sample = source.next();
      // Records end their epoch with the last sample, shards only with the first of the next.
      if (over() && source.state().value("position", int64_t{-1}) != 0) break;
      see(sample);
    } catch (const Error& error) {
      if (!collect_errors) throw;
      if (!errors.empty() && errors.back() == error.what()) break;  // a source that cannot be gone on with
      errors.push_back(error.what());
      if (errors.size() == kMostErrors) break;
      try {
        source.skip(1);
      } catch (const Error&) {
        break;
      }
    }
  }
  return errors;
}

std::unique_ptr<SampleSource> open(const NamedSource& source, uint64_t seed) {
  return make_source(source.options, source.name, seed);
}

void run_check(const Options& flags) {
  Json report = Json::array();
  bool good = true;
  for (const auto& named : find_sources(flags.source)) {
    auto source = open(named, flags.seed);
    int64_t samples = 0;
    const auto errors = walk(*source, flags.count, true, [&](const Sample&) { ++samples; });
    good = good && errors.empty();
    const Json skipped = source->skipped();
    report.push_back(
        {{"source", named.name}, {"samples", samples}, {"left_out", skipped}, {"errors", errors}});
    if (flags.json) continue;
    std::printf("%s: %lld samples read", named.name.c_str(), static_cast<long long>(samples));
    for (const auto& [reason, count] : skipped.items())
      std::printf(", %s %s", count.dump().c_str(), reason.c_str());
    std::printf(", %zu errors%s\n", errors.size(),
                errors.size() == kMostErrors ? " (no more looked for)" : "");
    for (const auto& error : errors) std::printf("  %s\n", error.c_str());
  }
  if (flags.json) print_json(report);
  if (!good) throw ExitStatus{1};
}

/// Least, middle, mean and greatest of some lengths, and how many lie in [2^k, 2^(k+1)).
Json summary(std::vector<int64_t> lengths) {
  if (lengths.empty()) return nullptr;
  std::ranges::sort(lengths);
  std::map<int64_t, int64_t> bins;
  for (const int64_t length : lengths)
    ++bins[static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(length)))];
  Json histogram = Json::array();
  for (const auto& [from, count] : bins)
    histogram.push_back({{"from", from}, {"to", std::max<int64_t>(2 * from - 1, 0)}, {"count", count}});
  const auto sum = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  return {{"min", lengths.front()},
          {"median", lengths[lengths.size() / 2]},
          {"mean", sum / static_cast<double>(lengths.size())},
          {"max", lengths.back()},
          {"histogram", std::move(histogram)}};
}

Json gather_stats(const NamedSource& named, const Options& flags, const Tokenizer* tokenizer) {
  auto source = open(named, flags.seed);
  std::vector<int64_t> characters, tokens;
  std::map<std::pair<int64_t, int64_t>, int64_t> sizes;
  walk(*source, flags.count, false, [&](const Sample& sample) {
    characters.push_back(std::ranges::count_if(sample.text, [](char c) { return (c & 0xC0) != 0x80; }));
    if (tokenizer != nullptr) tokens.push_back(static_cast<int64_t>(tokenizer->encode(sample.text).size()));
    if (!sample.image.pixels.empty()) ++sizes[{sample.image.width, sample.image.height}];
  });
  std::vector<std::pair<std::pair<int64_t, int64_t>, int64_t>> common(sizes.begin(), sizes.end());
  std::ranges::stable_sort(common, std::greater<>(), [](const auto& size) { return size.second; });
  int64_t pictures = 0;
  Json list = Json::array();
  for (const auto& [size, count] : common) {
    pictures += count;
    if (list.size() < kMostSizes)
      list.push_back({{"width", size.first}, {"height", size.second}, {"count", count}});
  }
  Json stats = {{"source", named.name},
                {"samples", characters.size()},
                {"left_out", source->skipped()},
                {"pictures", pictures},
                {"picture_sizes", std::move(list)},
                {"different_sizes", sizes.size()},
                {"characters", summary(std::move(characters))}};
  if (tokenizer != nullptr) stats["tokens"] = summary(std::move(tokens));
  return stats;
}

void print_summary(const char* what, const Json& lengths) {
  std::printf("  %s: %s to %s, median %s, mean %.1f\n", what, lengths.at("min").dump().c_str(),
              lengths.at("max").dump().c_str(), lengths.at("median").dump().c_str(),
              lengths.at("mean").get<double>());
  int64_t most = 1;
  for (const auto& bin : lengths.at("histogram")) most = std::max(most, bin.at("count").get<int64_t>());
  for (const auto& bin : lengths.at("histogram")) {
    const auto count = bin.at("count").get<int64_t>();
    const std::string bar(static_cast<size_t>((40 * count + most - 1) / most), '#');
    std::printf("  %9lld .. %-9lld %9lld %s\n", static_cast<long long>(bin.at("from").get<int64_t>()),
                static_cast<long long>(bin.at("to").get<int64_t>()), static_cast<long long>(count),
                bar.c_str());
  }
}

void run_stats(const Options& flags) {
  const auto tokenizer = flags.tokenizer.empty() ? nullptr : load_tokenizer(flags.tokenizer);
  Json report = Json::array();
  for (const auto& named : find_sources(flags.source))
    report.push_back(gather_stats(named, flags, tokenizer.get()));
  if (flags.json) return print_json(report);
  for (const auto& stats : report) {
    std::printf("%s: %s samples, %s with a picture; left out: %s\n",
                stats.at("source").get<std::string>().c_str(), stats.at("samples").dump().c_str(),
                stats.at("pictures").dump().c_str(), stats.at("left_out").dump().c_str());
    for (const std::string key : {"characters", "tokens"})
      if (stats.contains(key) && !stats.at(key).is_null()) print_summary(key.c_str(), stats.at(key));
    for (const auto& size : stats.at("picture_sizes"))
      std::printf("  %s x %s: %s\n", size.at("width").dump().c_str(), size.at("height").dump().c_str(),
                  size.at("count").dump().c_str());
  }
}

void run_preview(const Options& flags) {
  if (!flags.output.empty()) check_image_path(flags.output);
  const auto sources = find_sources(flags.source);
  std::vector<Image> sheet;
  Json texts = Json::array();
  for (const auto& named : sources)
    walk(*open(named, flags.seed), flags.count, false, [&](const Sample& sample) {
      const bool picture = !sample.image.pixels.empty();
      texts.push_back({{"source", named.name},
                       {"text", sample.text},
                       {"picture", picture ? Json(sheet.size()) : Json(nullptr)}});
      if (picture && !flags.output.empty())
        sheet.push_back(fit_image(sample.image, flags.size, flags.size, sample.fit.value_or(Fit::kPad)));
    });
  if (!flags.output.empty()) {
    MMADA_CHECK(!sheet.empty(), flags.source, ": found no picture in ", texts.size(),
                " samples, expected some for ", flags.output, "; leave --output out for texts alone");
    write_image(flags.output, contact_sheet(sheet, {.columns = flags.columns}));
  }
  if (flags.json) return print_json(texts);
  for (const auto& entry : texts)
    std::printf("%s\n", printable(entry.at("text").get_ref<const std::string&>(), 2000).c_str());
}

CLI::App* add_verb(CLI::App& data, const std::string& name, const std::string& help,
                   const std::shared_ptr<Options>& flags, void (*run)(const Options&)) {
  auto* verb = data.add_subcommand(name, help);
  verb->add_option(
          "source", flags->source,
          "JSON of a source, given as it is or as a file, or a training configuration: all its sources")
      ->required();
  verb->add_option("-n,--count", flags->count,
                   "Samples of each source; 0: an epoch, or 1000 of a source without epochs")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "Seed of the sources")->capture_default_str();
  verb->add_flag("--json", flags->json, "Print JSON");
  verb->callback([flags, run] { run(*flags); });
  return verb;
}

}  // namespace

void add_data_inspect(CLI::App& data) {
  const auto check = std::make_shared<Options>(), stats = std::make_shared<Options>(),
             preview = std::make_shared<Options>();
  add_verb(data, "check", "Read samples and name those that cannot be read (status 1)", check, run_check);
  add_verb(data, "stats", "Lengths of texts and sizes of pictures", stats, run_stats)
      ->add_option("--tokenizer", stats->tokenizer, "Count tokens too: tokenizer.json, .model, or a folder");
  preview->count = 16;
  auto* verb = add_verb(data, "preview", "Texts, and a contact sheet of the pictures", preview, run_preview);
  verb->add_option("-o,--output", preview->output, "Contact sheet (.png, .jpg, .webp)");
  verb->add_option("--columns", preview->columns, "Pictures in a row")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("--size", preview->size,
                   "Pixels to a side of each picture, brought there by its source's fit [pad]")
      ->check(CLI::Range(8, 4096))
      ->capture_default_str();
}

}  // namespace mmada::cli
