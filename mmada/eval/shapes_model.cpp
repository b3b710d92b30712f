// SPDX-License-Identifier: MIT
#include "mmada/eval/shapes_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "mmada/diffusion/layouts.h"
#include "mmada/text/chat.h"
#include "mmada/vision/transforms.h"

namespace mmada {
namespace {

/// Puts the suite's questions to a generator. Every item has a noise stream of its own, by its place in the
/// whole run, so that the size of batches changes nothing.
class Examinee {
 public:
  Examinee(const Generator& generator, const ShapesSampling& sampling)
      : generator_(generator), sampling_(sampling), budget_(generator.text_budget(sampling.image)) {}

  std::vector<std::string> solve(const std::vector<std::string>& questions) {
    std::vector<Request> requests;
    for (const auto& question : questions) requests.push_back(request(question, nullptr));
    return replies(requests);
  }

  std::vector<std::string> answer(const std::vector<Image>& images,
                                  const std::vector<std::string>& questions) {
    std::vector<Request> requests;
    for (size_t i = 0; i < questions.size(); ++i) requests.push_back(request(questions[i], &images[i]));
    return replies(requests);
  }

  std::vector<Image> draw(const std::vector<std::string>& captions) {
    std::vector<Request> requests;
    for (const auto& caption : captions) {
      ImageRequest request{
          .caption = generator_.encode_text(caption), .codes = {}, .options = sampling_.image};
      request.options.stream = pictures_++;
      requests.push_back(std::move(request));
    }
    std::vector<Image> pictures;
    for (auto& made : generator_.batch(requests)) pictures.push_back(std::get<Picture>(std::move(made)));
    return pictures;
  }

 private:
  /// The reply fills what the question leaves of the text budget, in one block, as the rows of training did.
  TextRequest request(const std::string& question, const Image* image) {
    const TokenIds chat = generator_.encode_text(apply_chat_template({{"user", question}}));
    const int64_t length = budget_ - static_cast<int64_t>(chat.size());
    MMADA_CHECK(length >= 1, "evaluation: found a question of ", chat.size(),
                " tokens, expected fewer than the text budget of ", budget_);
    TextRequest request{.prompt = image == nullptr ? chat : picture_prompt(*image, chat),
                        .options = sampling_.text};
    request.options.gen_length = request.options.block_length = length;
    request.options.steps = (length + sampling_.tokens_per_step - 1) / sampling_.tokens_per_step;
    request.options.stream = texts_++;
    return request;
  }

  TokenIds picture_prompt(const Image& image, const TokenIds& chat) const {
    TokenIds ids = generator_.encode(image, sampling_.image).codes;
    for (int64_t& id : ids) id += generator_.model().layout.image_token_offset;
    return mmu_prompt(generator_.model().layout, ids, chat);
  }

  /// Replies end with their turn: what a model writes behind it is not part of the answer.
  std::vector<std::string> replies(const std::vector<Request>& requests) const {
    const auto& layout = generator_.model().layout;
    std::vector<std::string> texts;
    for (const auto& made : generator_.batch(requests)) {
      TokenIds ids = std::get<TextAnswer>(made).new_ids;
      const auto ends = [&](int64_t id) { return id == layout.eot || id == layout.eos; };
      ids.erase(std::find_if(ids.begin(), ids.end(), ends), ids.end());
      texts.push_back(answer_text(*generator_.model().tokenizer, ids));
    }
    return texts;
  }

  const Generator& generator_;
  ShapesSampling sampling_;
  int64_t budget_;
  uint32_t texts_ = 0, pictures_ = 0;
};

}  // namespace

ShapesModel shapes_model(const Generator& generator, const ShapesSampling& sampling) {
  MMADA_CHECK(sampling.tokens_per_step >= 1, "evaluation: found ", sampling.tokens_per_step,
              " tokens a step, expected at least 1");
  const auto examinee = std::make_shared<Examinee>(generator, sampling);
  ShapesModel model;
  model.solve = [examinee](const std::vector<std::string>& questions) { return examinee->solve(questions); };
  if (!generator.images()) return model;
  model.reconstruct = shapes_model(*generator.images()).reconstruct;
  model.answer = [examinee](const std::vector<Image>& images, const std::vector<std::string>& questions) {
    return examinee->answer(images, questions);
  };
  model.draw = [examinee](const std::vector<std::string>& captions) { return examinee->draw(captions); };
  return model;
}

ShapesModel shapes_model(const Magvit2& images) {
  ShapesModel model;
  model.reconstruct = [images](const std::vector<Image>& originals, std::vector<int64_t>& codes) {
    const int64_t factor = images.config().factor();
    std::vector<Image> pictures;
    for (const auto& original :
         originals) {  // one by one: convolutions of another batch size round differently
      MMADA_CHECK(original.height % factor == 0 && original.width % factor == 0,
                  "evaluation: found pictures of ", original.width, " x ", original.height,
                  ", expected multiples of the image tokenizer's ", factor);
      const at::Tensor input = image_to_tensor(original, original.height, original.width).unsqueeze(0);
      const at::Tensor codes_1hw = images.encode(input.to(images.parameters().front().second.device()));
      const at::Tensor flat = codes_1hw.to(at::kCPU, at::kLong).flatten().contiguous();
      codes.insert(codes.end(), flat.const_data_ptr<int64_t>(),
                   flat.const_data_ptr<int64_t>() + flat.numel());
      pictures.push_back(tensor_to_image(images.decode(codes_1hw)[0]));
    }
    return pictures;
  };
  return model;
}

}  // namespace mmada
