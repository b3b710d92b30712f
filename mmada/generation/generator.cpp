// SPDX-License-Identifier: MIT
#include "mmada/generation/generator.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/diffusion/layouts.h"
#include "mmada/generation/denoise.h"
#include "mmada/generation/image_canvas.h"
#include "mmada/generation/r2i_canvas.h"
#include "mmada/generation/text_canvas.h"
#include "mmada/vision/transforms.h"

namespace mmada {
namespace {

constexpr int64_t kPublishedTextBudget = 512;  // M of the published 512-px checkpoints

std::string question_text(const std::string& question, bool think) {
  return think ? think_question(question) : question;
}

/// A canvas with what reading its row back needs.
struct Laid {
  Canvas canvas;
  std::vector<int64_t> fresh;  ///< text: positions to be generated
  Span slots;                  ///< image
  CodeGrid grid;
  bool is_image = false;
  bool is_infill = false;
};

std::vector<int64_t> masked_positions(const TokenIds& ids, int64_t mask) {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] == mask) positions.push_back(static_cast<int64_t>(i));
  return positions;
}

/// Side of the square grid that config.json's num_vq_tokens describes.
int64_t grid_side(const Model& model) {
  const auto tokens = model.config.find("num_vq_tokens");
  const bool found = tokens != model.config.end();
  const int64_t count = found ? whole_number(*tokens).value_or(-1) : -1;
  const int64_t side = count < 1 ? 0 : std::llround(std::sqrt(static_cast<double>(count)));
  MMADA_CHECK(side >= 1 && count / side == side && count % side == 0, model.config_source(),
              ": field `num_vq_tokens`: found ", found ? found_text(*tokens) : "nothing",
              ", expected a square number (or give an explicit grid)");
  return side;
}

Laid lay(const Model& model, const Generator&, const TextRequest& request) {
  Laid laid;
  laid.canvas = text_canvas(model.layout, request.prompt, request.options);
  for (size_t i = request.prompt.size(); i < laid.canvas.ids.size(); ++i)
    laid.fresh.push_back(static_cast<int64_t>(i));
  return laid;
}

Laid lay(const Model& model, const Generator&, const InfillRequest& request) {
  Laid laid;
  laid.canvas = infill_canvas(model.layout, request.ids, request.options);
  laid.fresh = masked_positions(request.ids, model.layout.mask);
  laid.is_infill = true;
  return laid;
}

CodeGrid checked_grid(const Generator& generator, const CodeGrid& codes, const ImageOptions& options) {
  if (codes.codes.empty()) return generator.blank_grid(options);
  MMADA_CHECK(static_cast<int64_t>(codes.codes.size()) == codes.rows * codes.columns, "image codes: found ",
              codes.codes.size(), ", expected ", codes.rows, " x ", codes.columns);
  return codes;
}

c10::ScalarType weight_dtype(const Model& model) {
  return c10::typeMetaToScalarType(model.transformer.options().dtype());
}

Laid lay(const Model& model, const Generator& generator, const ImageRequest& request) {
  Laid laid;
  laid.grid = checked_grid(generator, request.codes, request.options);
  ImageCanvas image =
      image_canvas(model.layout, request.caption, laid.grid.codes, generator.text_budget(request.options),
                   request.options, weight_dtype(model));
  laid.canvas = std::move(image.canvas);
  laid.slots = image.slots;
  laid.is_image = true;
  return laid;
}

Laid lay(const Model& model, const Generator& generator, const ReasonedImageRequest& request) {
  Laid laid;
  laid.grid = checked_grid(generator, request.codes, request.options);
  R2iCanvas r2i =
      r2i_canvas(model.layout, request.prompt, laid.grid.codes, generator.text_budget(request.options),
                 request.reasoning.value_or(generator.reasoning_options(request.prompt, request.options)),
                 request.options, weight_dtype(model));
  for (int64_t i = r2i.reasoning.begin; i < r2i.reasoning.end; ++i) laid.fresh.push_back(i);
  laid.canvas = std::move(r2i.canvas);
  laid.slots = r2i.slots;
  laid.is_image = true;
  return laid;
}

/// What stands between its tags; all of it where they are not both there.
std::string thought(const std::string& text) {
  const Answer answer = split_answer(text);
  return answer.reasoning.empty() ? answer.answer : answer.reasoning;
}

}  // namespace

Generator::Generator(Model model, Magvit2 images) : model_(std::move(model)), images_(std::move(images)) {
  MMADA_CHECK(!model_.layout.has_images() || images_->config().codebook_size() == model_.layout.codebook_size,
              "image tokenizer: found a codebook of ", images_->config().codebook_size(),
              ", expected the model's ", model_.layout.codebook_size);
}

Generator Generator::observed(std::vector<Observer*> observers) const {
  Generator copy = *this;
  copy.observers_ = std::move(observers);
  return copy;
}

Generator Generator::on(ForwardModel weights) const {
  Generator copy = *this;
  copy.elsewhere_ = std::move(weights);
  return copy;
}

TextAnswer Generator::text(const std::string& prompt, const TextOptions& options) const {
  return chat({{"user", prompt}}, options);
}

TextAnswer Generator::chat(std::vector<ChatMessage> messages, const TextOptions& options) const {
  const auto last_user = std::find_if(messages.rbegin(), messages.rend(),
                                      [](const ChatMessage& message) { return message.role == "user"; });
  if (last_user != messages.rend()) last_user->content = question_text(last_user->content, options.think);
  return run(TextRequest{encode_text(apply_chat_template(messages)), options});
}

TextAnswer Generator::infill(const std::string& text, const TextOptions& options,
                             const std::optional<std::string>& question) const {
  TokenIds ids;
  if (question)
    ids = encode_text(apply_chat_template({{"user", question_text(*question, options.think)}}));
  else
    ids.push_back(model_.layout.bos);
  MMADA_CHECK(model_.tokenizer != nullptr,
              "infill: found no tokenizer in the checkpoint, expected one (or ids)");
  const TokenIds body = encode_with_holes(*model_.tokenizer, model_.layout, text);
  ids.insert(ids.end(), body.begin(), body.end());
  ids.push_back(model_.layout.eos);
  return run(InfillRequest{std::move(ids), options});
}

TokenIds Generator::picture_prompt(const Image& picture, const std::string& question,
                                   const TextOptions& options) const {
  ImageOptions image;
  image.rows = options.image_rows;
  image.columns = options.image_columns;
  image.fit = options.fit;
  TokenIds image_ids = encode(picture, image).codes;
  for (int64_t& code : image_ids) code += model_.layout.image_token_offset;
  const std::string chat = apply_chat_template({{"user", question_text(question, options.think)}});
  return mmu_prompt(model_.layout, image_ids, encode_text(chat));
}

TextAnswer Generator::understand(const Image& picture, const std::string& question,
                                 const TextOptions& options) const {
  return run(TextRequest{picture_prompt(picture, question, options), options});
}

TextAnswer Generator::complete(const Image& picture, const std::string& question, const std::string& answer,
                               const TextOptions& options) const {
  TokenIds ids = picture_prompt(picture, question, options);
  const TokenIds body = encode_with_holes(*model_.tokenizer, model_.layout, answer);
  ids.insert(ids.end(), body.begin(), body.end());
  ids.push_back(model_.layout.eos);
  return run(InfillRequest{std::move(ids), options});
}

Picture Generator::image(const std::string& caption, const ImageOptions& options) const {
  return run(ImageRequest{encode_text(caption), {}, options});
}

TokenIds Generator::reasoning_prompt(const std::string& caption, const Compat& compat) const {
  return encode_text(r2i_prompt(caption, compat.turn_terminator));
}

TextOptions Generator::reasoning_options(const TokenIds& prompt, const ImageOptions& options) const {
  const int64_t room = std::max<int64_t>(1, r2i_room(model_.layout, prompt, text_budget(options)));
  return {.gen_length = room, .block_length = room, .steps = room};
}

Picture Generator::reasoned_image(const std::string& caption, const ImageOptions& options,
                                  const std::optional<TextOptions>& reasoning) const {
  return run(ReasonedImageRequest{reasoning_prompt(caption, options.compat), {}, reasoning, options});
}

CodeGrid Generator::holes(const Image& picture, const Image& mask, const ImageOptions& options) const {
  CodeGrid grid = encode(picture, options);
  const int64_t factor = image_tokenizer().config().factor();
  const at::Tensor redraw =
      mask_to_tokens(mask, grid.rows * factor, grid.columns * factor, factor, fit_from_name(options.fit))
          .to(at::kCPU, at::kBool)
          .contiguous();
  const bool* flags = redraw.const_data_ptr<bool>();
  for (size_t i = 0; i < grid.codes.size(); ++i)
    if (flags[i]) grid.codes[i] = -1;
  return grid;
}

Picture Generator::inpaint(const Image& picture, const Image& mask, const std::string& caption,
                           const ImageOptions& options) const {
  return run(ImageRequest{encode_text(caption), holes(picture, mask, options), options});
}

Picture Generator::extrapolate(const Image& picture, const std::vector<ExtrapolationMove>& moves,
                               const ImageOptions& options, int64_t offset) const {
  return extrapolate(encode(picture, options), moves, options, offset);
}

Picture Generator::extrapolate(CodeGrid picture, const std::vector<ExtrapolationMove>& moves,
                               const ImageOptions& options, int64_t offset) const {
  const CodeGrid blank = blank_grid(options);
  Picture last;
  int64_t nfe = 0;
  for (size_t i = 0; i < moves.size(); ++i) {
    const Direction direction = moves[i].direction;
    const int64_t window = extrapolation_window(blank, direction);
    ImageOptions move = options;
    move.stream = options.stream + static_cast<uint32_t>(i);  // no two moves share noise
    const TokenIds caption =
        moves[i].caption_ids.empty() ? encode_text(moves[i].caption) : moves[i].caption_ids;
    // without the image tokenizer: only the joined picture is decoded
    Generator without_images = *this;
    without_images.images_.reset();
    last = without_images.run(
        ImageRequest{caption, extrapolation_canvas(picture, direction, window, offset), move});
    picture = join_extrapolation(picture, last.grid, direction, window, offset);
    nfe += last.nfe;
  }
  return picture_of(picture, std::move(last.ids), nfe);
}

std::vector<Generated> Generator::batch(const std::vector<Request>& requests) const {
  Denoiser denoiser(elsewhere_.value_or(model_.transformer), model_.layout, observers_);
  std::vector<Laid> rows;
  for (const Request& request : requests) {
    rows.push_back(std::visit([&](const auto& r) { return lay(model_, *this, r); }, request));
    denoiser.add(rows.back().canvas);
  }
  while (denoiser.step()) {
  }
  std::vector<Generated> answers(requests.size());
  for (FinishedRow& finished : denoiser.take_finished()) {
    Laid& laid = rows[finished.row];
    TokenIds fresh;
    for (const int64_t position : laid.fresh) fresh.push_back(finished.ids[position]);
    if (laid.is_image) {
      laid.grid.codes = codes_of_row(model_.layout, finished.ids, laid.slots);
      Picture picture = picture_of(laid.grid, std::move(finished.ids), finished.nfe);
      if (!fresh.empty()) picture.reasoning = thought(decode_text(fresh));
      picture.reasoning_ids = std::move(fresh);
      answers[finished.row] = std::move(picture);
      continue;
    }
    TextAnswer answer;
    answer.new_ids = std::move(fresh);
    answer.ids = std::move(finished.ids);
    answer.nfe = finished.nfe;
    answer.text = decode_text(laid.is_infill ? answer.ids : answer.new_ids);
    answers[finished.row] = std::move(answer);
  }
  return answers;
}

TextAnswer Generator::run(TextRequest request) const {
  return std::get<TextAnswer>(batch({std::move(request)}).front());
}

TextAnswer Generator::run(InfillRequest request) const {
  return std::get<TextAnswer>(batch({std::move(request)}).front());
}

Picture Generator::run(ImageRequest request) const {
  return std::get<Picture>(batch({std::move(request)}).front());
}

Picture Generator::run(ReasonedImageRequest request) const {
  return std::get<Picture>(batch({std::move(request)}).front());
}

CodeGrid Generator::blank_grid(const ImageOptions& options) const {
  const bool given = options.rows != 0;
  const int64_t rows = given ? options.rows : grid_side(model_), columns = given ? options.columns : rows;
  const int64_t most = model_.transformer.config().max_sequence_length;
  MMADA_CHECK(rows >= 1 && rows <= most && columns >= 1 && columns <= most / rows,
              given ? "image grid" : model_.config_source() + ": field `num_vq_tokens`", ": found ", rows,
              "x", columns, " tokens, expected at most the model's max_sequence_length ", most);
  return {rows, columns, std::vector<int64_t>(rows * columns, -1)};
}

int64_t Generator::text_budget(const ImageOptions& options) const {
  if (options.max_text_length > 0) return options.max_text_length;
  const auto budget = model_.config.find("max_text_length");
  if (budget == model_.config.end()) return kPublishedTextBudget;
  const int64_t tokens = whole_number(*budget).value_or(-1);
  MMADA_CHECK(tokens >= 2, model_.config_source(), ": field `max_text_length`: found ", found_text(*budget),
              ", expected a whole number >= 2");
  return tokens;
}

CodeGrid Generator::encode(const Image& picture, const ImageOptions& options) const {
  const Magvit2& tokenizer = image_tokenizer();
  const int64_t factor = tokenizer.config().factor();
  CodeGrid grid = blank_grid(options);
  const c10::NoGradGuard no_grad;
  const at::Tensor pixels =
      image_to_tensor(picture, grid.rows * factor, grid.columns * factor, fit_from_name(options.fit));
  const at::Device device = tokenizer.parameters().front().second.device();
  const at::Tensor codes =
      tokenizer.encode(pixels.unsqueeze(0).to(device)).to(at::kCPU, at::kLong).contiguous();
  grid.codes.assign(codes.const_data_ptr<int64_t>(), codes.const_data_ptr<int64_t>() + codes.numel());
  return grid;
}

Image Generator::decode(const CodeGrid& grid) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor codes = at::tensor(grid.codes, at::kLong).view({1, grid.rows, grid.columns});
  const at::Device device = image_tokenizer().parameters().front().second.device();
  return tensor_to_image(image_tokenizer().decode(codes.to(device))[0]);
}

TokenIds Generator::encode_text(const std::string& text) const {
  MMADA_CHECK(model_.tokenizer != nullptr,
              "prompt: found no tokenizer in the checkpoint, expected one (or give the prompt as ids)");
  return model_.tokenizer->encode(text);
}

/// Up to the first eos; what has no text (image codes, MASKs that an early stop left) is passed over.
std::string Generator::decode_text(const TokenIds& ids) const {
  if (!model_.tokenizer) return "";
  const Window text = model_.layout.text_window();
  TokenIds readable;
  for (const int64_t id : ids) {
    if (id == model_.layout.eos) break;
    if (text.contains(id) && id < model_.tokenizer->size() && id != model_.layout.mask)
      readable.push_back(id);
  }
  return model_.tokenizer->decode(readable);
}

Picture Generator::picture_of(const CodeGrid& grid, TokenIds ids, int64_t nfe) const {
  Picture picture;
  if (images_) static_cast<Image&>(picture) = decode(grid);
  picture.grid = grid;
  picture.ids = std::move(ids);
  picture.nfe = nfe;
  return picture;
}

const Magvit2& Generator::image_tokenizer() const {
  MMADA_CHECK(images_.has_value(),
              "image tokenizer: found none, expected one for pictures (--image-tokenizer)");
  return *images_;
}

}  // namespace mmada
