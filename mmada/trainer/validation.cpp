// SPDX-License-Identifier: MIT
#include "mmada/trainer/validation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/data/jsonl.h"
#include "mmada/diffusion/schedule.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/trainer/sample_encoder.h"
#include "mmada/trainer/sampler_field.h"
#include "mmada/vision/contact_sheet.h"
#include "mmada/vision/transforms.h"

namespace mmada {
namespace {

constexpr size_t kTogether = 8;  // rows of one denoising run

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::string text = read_file(path);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    at = end + 1;
  }
  MMADA_CHECK(!lines.empty(), path, ": found no line with text, expected one prompt a line");
  return lines;
}

std::vector<ValidationOptions::Question> questions_of(const std::string& path, const std::string& root) {
  const Json list = read_json_file(path);
  MMADA_CHECK(list.is_array(), path, ": found ", found_text(list), ", expected a list of questions");
  std::vector<ValidationOptions::Question> questions;
  for (size_t i = 0; i < list.size(); ++i) {
    Fields entry(list[i], path, cat("[", i, "]"));
    const std::string image = root + "/" + entry.string("file_name");
    const Json& messages = entry.raw("messages");
    if (!messages.is_array() || messages.size() != 1)
      entry.fail("messages", found_text(messages), "a list of one message, the user's");
    Fields message(messages[0], path, cat("[", i, "].messages[0]"));
    message.choice("role", {"user"});
    questions.push_back({image, message.string("content")});
    read_image(image);  // a mistake shows before the first step
  }
  return questions;
}

std::vector<std::string> chats_of(const std::string& path) {
  const JsonLines lines(path);
  std::vector<std::string> questions;
  for (int64_t i = 0; i < lines.size(); ++i) {
    const Json line = lines.read(i);
    questions.push_back(Fields(line, lines.place(i)).string("question"));
  }
  MMADA_CHECK(!questions.empty(), path, ": found no line, expected some with `question`");
  return questions;
}

/// What becomes of a validation: files, and what TensorBoard shows.
class Output {
 public:
  explicit Output(std::string directory) : directory_(std::move(directory)) {
    std::filesystem::create_directories(directory_);
  }
  /// Returns the file's name.
  std::string picture(const std::string& name, Image image) {
    write_image(directory_ + "/" + name + ".png", image);
    evaluation_.images.emplace_back("samples/" + name, std::move(image));
    return name + ".png";
  }
  void line(const Json& json) { lines_ += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }
  void text(const std::string& name, const std::string& text) {
    evaluation_.texts.emplace_back("samples/" + name, text);
  }
  /// Last: whoever finds answers.jsonl finds all.
  Evaluation finish() {
    write_file(directory_ + "/answers.jsonl", lines_);
    return std::move(evaluation_);
  }

 private:
  std::string directory_;
  std::string lines_;
  Evaluation evaluation_;
};

std::vector<Picture> draw(const Generator& generate, const std::vector<Request>& requests) {
  std::vector<Picture> pictures;
  for (size_t at = 0; at < requests.size(); at += kTogether) {
    const auto end = requests.begin() + static_cast<int64_t>(std::min(at + kTogether, requests.size()));
    for (Generated& generated : generate.batch({requests.begin() + static_cast<int64_t>(at), end}))
      pictures.push_back(std::get<Picture>(std::move(generated)));
  }
  return pictures;
}

void draw_prompts(const Generator& generate, const ValidationOptions& options, Output* output) {
  const bool guided = options.pictures.guidance_scale > 0;
  std::vector<Request> requests;
  for (size_t i = 0; i < options.prompts.size(); ++i) {
    ImageRequest request{generate.encode_text(options.prompts[i]), {}, options.pictures};
    request.options.seed = options.seed;
    request.options.stream = static_cast<uint32_t>(i);
    request.options.guidance_scale = 0;
    requests.push_back(request);
    request.options.guidance_scale = options.pictures.guidance_scale;
    if (guided) requests.push_back(std::move(request));
  }
  auto pictures = draw(generate, requests);
  for (size_t i = 0, at = 0; i < options.prompts.size(); ++i) {
    const std::string name = cat("picture-", i);
    Json line = {{"task", "t2i"}, {"prompt", options.prompts[i]}};
    line["picture"] = output->picture(name, std::move(pictures[at++]));
    if (guided) line["guided"] = output->picture(name + "-guided", std::move(pictures[at++]));
    output->line(line);
  }
}

/// The grid with some of its codes to be predicted: shares along the cosine schedule, as training draws them.
CodeGrid partly_masked(CodeGrid grid, int64_t panel, int64_t panels, uint64_t seed) {
  Rng rng(seed, "validation/panel", static_cast<uint64_t>(panel));
  const double time = (static_cast<double>(panel) + 0.5) / static_cast<double>(panels);
  const auto slots = std::ssize(grid.codes);
  const auto masked =
      std::max<int64_t>(1, std::llround(Schedule("cosine")(time) * static_cast<double>(slots)));
  const auto order = rng.permutation(slots);
  for (int64_t i = 0; i < masked; ++i) grid.codes[order[i]] = -1;
  return grid;
}

void show_panels(const Generator& generate, const ValidationOptions& options,
                 const std::vector<Sample>& samples, Output* output) {
  std::vector<Request> requests;
  std::vector<CodeGrid> grids;
  for (size_t i = 0; i < samples.size(); ++i) {
    ImageOptions fitted = options.pictures;
    if (samples[i].fit) fitted.fit = fit_name(*samples[i].fit);
    grids.push_back(generate.encode(samples[i].image, fitted));
    ImageRequest request{generate.encode_text(samples[i].text), {}, options.pictures};
    const auto most = static_cast<size_t>(options.pictures.max_text_length - 2);
    if (request.caption.size() > most) request.caption.resize(most);
    request.codes = partly_masked(grids[i], static_cast<int64_t>(i), std::ssize(samples), options.seed);
    request.options.steps = 1;
    request.options.greedy = true;
    request.options.guidance_scale = 0;
    requests.push_back(std::move(request));
  }
  auto predicted = draw(generate, requests);
  for (size_t i = 0; i < samples.size(); ++i) {
    const Image reconstruction = generate.decode(grids[i]);
    const Image original = fit_image(samples[i].image, reconstruction.height, reconstruction.width,
                                     samples[i].fit.value_or(fit_from_name(options.pictures.fit)));
    const std::string file = output->picture(
        cat("panel-", i), contact_sheet({original, reconstruction, std::move(predicted[i])}, {.columns = 3}));
    output->line({{"task", "panel"},
                  {"caption", samples[i].text},
                  {"picture", file},
                  {"given_codes", std::get<ImageRequest>(requests[i]).codes.codes}});
  }
}

void answer_questions(const Generator& generate, const ValidationOptions& options, Output* output) {
  std::string all;
  const auto add = [&](const Json& line) {
    output->line(line);
    all += cat("**", line.at("question").get<std::string>(), "**\n\n", line.at("answer").get<std::string>(),
               "\n\n");
  };
  for (size_t i = 0; i < options.questions.size(); ++i) {
    TextOptions asked = options.answers;
    asked.seed = options.seed;
    asked.stream = static_cast<uint32_t>(i);
    asked.image_rows = options.pictures.rows, asked.image_columns = options.pictures.columns;
    asked.fit = options.pictures.fit;
    const auto& [image, text] = options.questions[i];
    add({{"task", "mmu"},
         {"image", image},
         {"question", text},
         {"answer", generate.understand(read_image(image), text, asked).text}});
  }
  for (size_t i = 0; i < options.chats.size(); ++i) {
    TextOptions asked = options.chat;
    asked.seed = options.seed;
    asked.stream = static_cast<uint32_t>(i);
    add({{"task", "chat"},
         {"question", options.chats[i]},
         {"answer", generate.text(options.chats[i], asked).text}});
  }
  if (!all.empty()) output->text("answers", all);
}

}  // namespace

ValidationOptions parse_validation(Fields fields) {
  constexpr int64_t kMost = int64_t{1} << 40;
  ValidationOptions options;
  options.every = fields.integer("every", 0, kMost, 0);
  options.seed = static_cast<uint64_t>(fields.integer("seed", 0, INT64_MAX, 42));
  options.prompts = fields.strings("prompts", std::vector<std::string>{});
  options.panels = fields.integer("panels", 0, 1024, 0);
  options.pictures = image_sampler(fields, "pictures", "validation");
  options.answers = text_sampler(fields, "answers", "validation");
  options.chat = text_sampler(fields, "chat", "validation");
  const std::string prompts = fields.string("prompts_file", ""), questions = fields.string("questions", ""),
                    root = fields.string("images_root", "."), chats = fields.string("chat_file", "");
  fields.finish();
  if (options.every == 0) return options;
  if (!prompts.empty())
    for (std::string& line : lines_of(prompts)) options.prompts.push_back(std::move(line));
  if (!questions.empty()) options.questions = questions_of(questions, root);
  if (!chats.empty()) options.chats = chats_of(chats);
  return options;
}

Evaluation validate(const Generator& generate, const ValidationOptions& options,
                    const std::vector<Sample>& panels, const std::string& directory) {
  Output output(directory);
  draw_prompts(generate, options, &output);
  show_panels(generate, options, panels, &output);
  answer_questions(generate, options, &output);
  return output.finish();
}

}  // namespace mmada
