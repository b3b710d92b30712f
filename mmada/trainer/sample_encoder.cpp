// SPDX-License-Identifier: MIT
#include "mmada/trainer/sample_encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/sha256.h"

namespace mmada {
namespace {

/// The digest of the picture, then the fit.
std::string picture_key(const Image& image, Fit fit) {
  Sha256 hash;
  const int64_t sizes[] = {image.width, image.height, image.channels};
  hash.update(sizes, sizeof sizes);
  hash.update(image.pixels.data(), image.pixels.size());
  const auto digest = hash.digest();
  return std::string(digest.begin(), digest.end()) + fit_name(fit);
}

/// All that a picture's codes depend on besides the picture.
Json code_setup(const Magvit2& tokenizer, int64_t resolution, Fit fit) {
  Sha256 hash;
  for (const auto& [name, tensor] : tokenizer.parameters()) {
    const at::Tensor weights = tensor.to(at::kCPU).contiguous();
    hash.update(name.data(), name.size() + 1);
    hash.update(weights.const_data_ptr(), weights.nbytes());
  }
  return {{"format", 1},
          {"tokenizer", magvit2_config_json(tokenizer.config())},
          {"weights_sha256", hex(hash.digest())},
          {"dtype", c10::toString(c10::typeMetaToScalarType(tokenizer.options().dtype()))},
          {"device", c10::DeviceTypeName(tokenizer.options().device().type(), /*lower_case=*/true)},
          {"resolution", resolution},
          {"fit", fit_name(fit)}};
}

int64_t occurrences(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

void show_others(const std::vector<int64_t>& masked, EncodedSample* sample) {
  const auto length = static_cast<int64_t>(sample->text.size());
  const int64_t end = sample->reasoning_end == 0 ? length : sample->reasoning_end;
  sample->shown.assign(sample->text.size(), false);
  for (int64_t i = 0; i < end; ++i)
    sample->shown[i] = std::find(masked.begin(), masked.end(), sample->text[i]) == masked.end();
}

}  // namespace

std::string fit_name(Fit fit) { return fit == Fit::kClip ? "clip" : fit == Fit::kSquash ? "squash" : "pad"; }

int64_t reasoning_end(const Tokenizer& tokenizer, const std::string& text, const TokenIds& ids) {
  static const std::string kEnd = "</think>";
  const int64_t all = occurrences(text, kEnd);
  if (all == 0) return 0;
  // The tag may be several tokens, spelled differently by what stands around it: ask the decoded text.
  int64_t low = 0, high = static_cast<int64_t>(ids.size());
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const std::string prefix = tokenizer.decode({ids.begin(), ids.begin() + middle}, /*skip_special=*/false);
    if (occurrences(prefix, kEnd) < all)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

std::vector<int64_t> word_ids(const Tokenizer& tokenizer, const std::vector<std::string>& words,
                              const std::string& field) {
  std::vector<int64_t> ids;
  for (const auto& word : words) {
    const TokenIds encoded = tokenizer.encode(" " + word);
    MMADA_CHECK(encoded.size() == 1, "training: field `", field, "`: found ", quote(word), ", which is ",
                encoded.size(), " tokens, expected words of one token");
    ids.push_back(encoded.front());
  }
  return ids;
}

SampleEncoder::SampleEncoder(std::shared_ptr<const Tokenizer> tokenizer,
                             std::shared_ptr<const Magvit2> image_tokenizer, const TokenLayout& layout,
                             const Options& options)
    : tokenizer_(std::move(tokenizer)),
      image_tokenizer_(std::move(image_tokenizer)),
      layout_(layout),
      options_(options) {
  MMADA_CHECK(tokenizer_ != nullptr, "training: the model has no text tokenizer, expected one");
  if (image_tokenizer_ == nullptr) return;
  const int64_t codes = image_tokenizer_->config().codebook_size(),
                factor = image_tokenizer_->config().factor();
  MMADA_CHECK(codes == layout_.codebook_size, "training: the image tokenizer has ", codes,
              " codes, the model's vocabulary expects ", layout_.codebook_size);
  MMADA_CHECK(options_.resolution % factor == 0, "training: found resolution ", options_.resolution,
              ", expected a multiple of ", factor);
}

int64_t SampleEncoder::image_tokens() const {
  if (image_tokenizer_ == nullptr) return 0;
  const int64_t side = options_.resolution / image_tokenizer_->config().factor();
  return side * side;
}

CodeCache::Codes SampleEncoder::encode_picture(const Sample& sample) const {
  const at::Tensor pixels =
      image_to_tensor(sample.image, options_.resolution, options_.resolution, fit_of(sample));
  const at::Tensor codes =
      image_tokenizer_->encode(pixels.unsqueeze(0).to(image_tokenizer_->options().device()))
          .to(at::kCPU)
          .contiguous();
  return {codes.const_data_ptr<int64_t>(), codes.const_data_ptr<int64_t>() + codes.numel()};
}

/// The codes kept on disk of pictures with this fit; null: none are kept.
CodeCache* SampleEncoder::disk(Fit fit) {
  if (options_.cached_codes.empty()) return nullptr;
  auto& disk = disks_[fit];
  if (disk == nullptr) {
    disk = std::make_shared<CodeCache>(
        options_.cached_codes, code_setup(*image_tokenizer_, options_.resolution, fit), image_tokens());
    disk->log_to(log_);
  }
  return disk.get();
}

/// What memory does not hold comes from the disk; what is not there either is encoded, and goes to both.
std::vector<TokenIds> SampleEncoder::encode_pictures(const std::vector<const Sample*>& samples) {
  const at::NoGradGuard no_grad;
  std::vector<TokenIds> encoded;
  std::map<CodeCache*, std::vector<std::pair<CodeCache::Key, CodeCache::Codes>>> fresh;
  for (const Sample* sample : samples) {
    CodeCache* const kept = disk(fit_of(*sample));
    const std::string key = picture_key(sample->image, fit_of(*sample));
    if (const auto known = cache_.find(key); known != cache_.end()) {
      encoded.push_back(known->second);
      continue;
    }
    CodeCache::Key half;
    std::copy_n(key.begin(), half.size(), half.begin());
    std::optional<CodeCache::Codes> codes = kept == nullptr ? std::nullopt : kept->find(half);
    if (!codes) {
      codes = encode_picture(*sample);
      if (kept != nullptr) fresh[kept].emplace_back(half, *codes);
    }
    TokenIds ids(codes->begin(), codes->end());
    for (int64_t& id : ids) id += layout_.image_token_offset;
    encoded.push_back(std::move(ids));
    if (static_cast<int64_t>(cache_.size()) < options_.cached_pictures) cache_.emplace(key, encoded.back());
  }
  for (const auto& [kept, pictures] : fresh) kept->put(pictures);
  return encoded;
}

std::vector<EncodedSample> SampleEncoder::encode(const std::vector<Sample>& samples, bool find_reasoning,
                                                 const std::vector<std::string>& masked_words,
                                                 const std::vector<std::string>& unlearned_words) {
  const auto masked = word_ids(*tokenizer_, masked_words, "masked_words");
  const auto unlearned = word_ids(*tokenizer_, unlearned_words, "unlearned_words");
  std::vector<EncodedSample> encoded(samples.size());
  std::vector<const Sample*> pictured;
  std::vector<size_t> owners;
  for (size_t i = 0; i < samples.size(); ++i) {
    encoded[i].text = tokenizer_->encode(samples[i].text);
    encoded[i].unlearned = unlearned;
    if (find_reasoning || !masked.empty())
      encoded[i].reasoning_end = reasoning_end(*tokenizer_, samples[i].text, encoded[i].text);
    if (!masked.empty()) show_others(masked, &encoded[i]);
    if (samples[i].image.pixels.empty()) continue;
    MMADA_CHECK(image_tokenizer_ != nullptr,
                "training: found a sample with a picture, expected an image tokenizer");
    pictured.push_back(&samples[i]);
    owners.push_back(i);
  }
  std::vector<TokenIds> pictures = encode_pictures(pictured);
  for (size_t j = 0; j < owners.size(); ++j) encoded[owners[j]].image = std::move(pictures[j]);
  return encoded;
}

}  // namespace mmada
