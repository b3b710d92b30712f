// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mmada/formats/image_file.h"
#include "mmada/generation/extrapolate.h"
#include "mmada/generation/forward_model.h"
#include "mmada/generation/observer.h"
#include "mmada/generation/options.h"
#include "mmada/model/checkpoint.h"
#include "mmada/text/chat.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// A generated text.
struct TextAnswer {
  std::string text;  ///< decoded without special tokens up to the first eos; empty without a tokenizer
  TokenIds ids;      ///< the whole row
  TokenIds new_ids;  ///< the tokens that were to be generated, in order
  int64_t nfe = 0;   ///< forward passes
};

/// A generated picture; as an Image it has no pixels when the generator has no image tokenizer.
struct Picture : Image {
  CodeGrid grid;
  TokenIds ids;  ///< the whole row of the last forward
  int64_t nfe = 0;
  std::string reasoning = {};   ///< what was thought before drawing (without its tags); else empty
  TokenIds reasoning_ids = {};  ///< all tokens generated for it, in order
};

/// One row of a batch. Prompts and captions are ids: of the whole prompt row for text, of the caption without
/// bos and eos for images.
struct TextRequest {
  TokenIds prompt = {};
  TextOptions options = {};
};
struct InfillRequest {
  TokenIds ids = {};  ///< MASK ids are the holes
  TextOptions options = {};
};
struct ImageRequest {
  TokenIds caption = {};
  CodeGrid codes = {};  ///< -1: to be generated; empty: all of the options' grid
  ImageOptions options = {};
};
/// Reasoning, then the picture (r2i_canvas). The prompt reaches through the assistant's header.
struct ReasonedImageRequest {
  TokenIds prompt = {};
  CodeGrid codes = {};                        ///< as in ImageRequest
  std::optional<TextOptions> reasoning = {};  ///< absent: Generator::reasoning_options
  ImageOptions options = {};
};
using Request = std::variant<TextRequest, InfillRequest, ImageRequest, ReasonedImageRequest>;
using Generated = std::variant<TextAnswer, Picture>;

/// Text, pictures and answers about pictures from one model: every call lays a row out, denoises it and reads
/// it back.
class Generator {
 public:
  explicit Generator(Model model) : model_(std::move(model)) {}
  /// Throws when the image tokenizer's codebook is not the model's.
  Generator(Model model, Magvit2 images);

  /// The same generator with observers of every step (they outlive its calls).
  Generator observed(std::vector<Observer*> observers) const;
  /// The same generator on weights that are elsewhere; its model's own are not used.
  Generator on(ForwardModel weights) const;
  const Model& model() const { return model_; }
  const std::optional<Magvit2>& images() const { return images_; }

  TextAnswer text(const std::string& prompt, const TextOptions& options = {}) const;
  /// The reply to a conversation; options.think applies to the last user turn.
  TextAnswer chat(std::vector<ChatMessage> messages, const TextOptions& options = {}) const;
  /// Fills the "[MASK:n]" holes of a text. With a question the text is the assistant's answer to it.
  TextAnswer infill(const std::string& text, const TextOptions& options = {},
                    const std::optional<std::string>& question = {}) const;
  TextAnswer understand(const Image& picture, const std::string& question,
                        const TextOptions& options = {}) const;
  /// Completes an answer about a picture of which parts are given: its "[MASK:n]" holes are filled.
  TextAnswer complete(const Image& picture, const std::string& question, const std::string& answer,
                      const TextOptions& options = {}) const;
  Picture image(const std::string& caption, const ImageOptions& options = {}) const;
  /// Thinks of a more detailed description first, then draws that (SPEC 4, r2i).
  Picture reasoned_image(const std::string& caption, const ImageOptions& options = {},
                         const std::optional<TextOptions>& reasoning = {}) const;
  /// Redraws what is white in the mask.
  Picture inpaint(const Image& picture, const Image& mask, const std::string& caption,
                  const ImageOptions& options = {}) const;
  /// Continues the picture beyond its edges, move by move; offset as in extrapolation_canvas.
  Picture extrapolate(const Image& picture, const std::vector<ExtrapolationMove>& moves,
                      const ImageOptions& options = {}, int64_t offset = 0) const;
  Picture extrapolate(CodeGrid picture, const std::vector<ExtrapolationMove>& moves,
                      const ImageOptions& options = {}, int64_t offset = 0) const;

  /// Requests of any tasks in one denoising run; text requests stop together under Compat's all-rows stop.
  std::vector<Generated> batch(const std::vector<Request>& requests) const;
  TextAnswer run(TextRequest request) const;
  TextAnswer run(InfillRequest request) const;
  Picture run(ImageRequest request) const;
  Picture run(ReasonedImageRequest request) const;

  /// Grid and caption budget that these options mean for this model.
  CodeGrid blank_grid(const ImageOptions& options) const;
  int64_t text_budget(const ImageOptions& options) const;
  /// Ids of a caption's prompt to reason and draw.
  TokenIds reasoning_prompt(const std::string& caption, const Compat& compat = {}) const;
  /// Reasoning over all that a prompt leaves of the text budget, in one block, a token a step.
  TextOptions reasoning_options(const TokenIds& prompt, const ImageOptions& options) const;
  /// Codes of a picture, -1 where the mask is white: what inpaint() fills.
  CodeGrid holes(const Image& picture, const Image& mask, const ImageOptions& options = {}) const;
  /// Codes of a picture resized to the options' grid.
  CodeGrid encode(const Image& picture, const ImageOptions& options = {}) const;
  Image decode(const CodeGrid& grid) const;
  /// Ids of a text; an error when the checkpoint has no tokenizer.
  TokenIds encode_text(const std::string& text) const;

 private:
  std::string decode_text(const TokenIds& ids) const;
  TokenIds picture_prompt(const Image& picture, const std::string& question,
                          const TextOptions& options) const;
  Picture picture_of(const CodeGrid& grid, TokenIds ids, int64_t nfe) const;
  const Magvit2& image_tokenizer() const;

  Model model_;
  std::optional<Magvit2> images_;
  std::optional<ForwardModel> elsewhere_;  ///< the weights, where they are not model_'s
  std::vector<Observer*> observers_;
};

}  // namespace mmada
