// SPDX-License-Identifier: MIT
#include "mmada/trainer/tokenizer_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/vision/contact_sheet.h"

namespace mmada {
namespace {

constexpr int64_t kHeldPictures = 32, kShownPictures = 8;

void add(const std::string& name, double value, double share, StepReport* report) {
  const auto same = std::find_if(report->parts.begin(), report->parts.end(),
                                 [&](const auto& part) { return part.first == name; });
  if (same == report->parts.end())
    report->parts.emplace_back(name, value * share);
  else
    same->second += value * share;
}

MetricValues terms(const TokenizerLoss& loss) {
  MetricValues values = {{"loss/l1", loss.l1.item<double>()},
                         {"loss/mse", loss.mse.item<double>()},
                         {"loss/entropy", loss.entropy.item<double>()},
                         {"loss/commitment", loss.commitment.item<double>()}};
  if (loss.lpips.defined()) values.emplace_back("loss/lpips", loss.lpips.item<double>());
  return values;
}

}  // namespace

TokenizerStep::TokenizerStep(Magvit2 tokenizer, std::unique_ptr<SampleSource> source, const Options& options)
    : tokenizer_(std::move(tokenizer)), options_(options), pictures_(std::move(source), options.pictures) {
  const int64_t factor = tokenizer_.config().factor();
  const int64_t resolution = options_.pictures.resolution;
  MMADA_CHECK(resolution % factor == 0, "image tokenizer training: found resolution ", resolution,
              ", expected a multiple of ", factor);
  const at::TensorOptions weights = tokenizer_.options();
  if (options_.loss.lpips > 0)
    perceptual_ = load_lpips(options_.loss.lpips_from,
                             {.device = weights.device().str(),
                              .dtype = scalar_type_name(c10::typeMetaToScalarType(weights.dtype()))});
  if (options_.loss.adversarial) {
    AdversarialOptions adversarial = *options_.loss.adversarial;
    adversarial.lecam_decay =
        std::pow(adversarial.lecam_decay, 1.0 / static_cast<double>(options_.micro_batches));
    adversary_.emplace(adversarial, weights, options_.pictures.seed);
  }
  for (const TrainedTensor& parameter : parameters()) parameter.tensor.set_requires_grad(true);
}

std::vector<TrainedTensor> TokenizerStep::parameters() const {
  std::vector<TrainedTensor> parameters;
  for (const auto& [name, tensor] : tokenizer_.parameters())  // vectors here are biases and group norms
    parameters.push_back(
        trained_whole({name, tensor, tensor.dim() == 1 ? ParameterKind::kNorm : ParameterKind::kLinear}));
  if (adversary_)
    for (TrainedTensor& parameter : adversary_->parameters()) parameters.push_back(std::move(parameter));
  return parameters;
}

at::Tensor TokenizerStep::last_layer() const {
  const auto parameters = tokenizer_.parameters();
  const auto found = std::find_if(parameters.begin(), parameters.end(), [](const auto& parameter) {
    return parameter.first == "decoder.conv_out.weight";
  });
  MMADA_CHECK(found != parameters.end(), "image tokenizer training: found no decoder.conv_out.weight");
  return found->second;
}

void TokenizerStep::micro_batch(int64_t step, int64_t micro, double share, StepReport* report) {
  const double progress =
      std::min(1.0, static_cast<double>(step) / static_cast<double>(options_.max_train_steps));
  const int64_t batch = step * options_.micro_batches + micro;
  const auto begin = std::chrono::steady_clock::now();
  const at::Tensor images = pictures_.take(batch).to(tokenizer_.options());
  report->data_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  Rng rng(options_.pictures.seed, "soften", static_cast<uint64_t>(batch));
  const TokenizerLoss loss =
      tokenizer_loss(tokenizer_, images, options_.loss, progress, rng, perceptual_ ? &*perceptual_ : nullptr);
  MetricValues values = terms(loss);
  at::Tensor total = loss.total;
  if (adversary_ && adversary_->active(step))
    total = total + adversary_->generator_term(loss.decoded_B3HW, loss.reconstruction, last_layer(), &values);
  (total * share).backward();
  report->loss += total.item<double>() * share;
  if (adversary_ && adversary_->active(step)) {
    const at::Tensor opposed = adversary_->discriminator_term(images, loss.decoded_B3HW, &values);
    (opposed * share).backward();
    report->loss += opposed.item<double>() * share;
  }
  for (const auto& [name, value] : values) add(name, value, share, report);
}

StepReport TokenizerStep::compute(int64_t step) {
  StepReport report;
  const int64_t side = options_.pictures.resolution / tokenizer_.config().factor();
  for (int64_t micro = 0; micro < options_.micro_batches; ++micro)
    micro_batch(step, micro, 1.0 / static_cast<double>(options_.micro_batches), &report);
  report.rows = options_.micro_batches * options_.pictures.rows;
  report.tokens = report.rows * side * side;
  return report;
}

Json TokenizerStep::state() const {
  Json state = {{"source", pictures_.state()}};
  if (adversary_) state["adversary"] = adversary_->state();
  return state;
}

void TokenizerStep::restore(const Json& state) {
  Fields fields(state, "state.json", "train_step");
  const Json& position = fields.raw("source");
  if (position.is_null()) fields.fail("source", "nothing", "the data position");
  pictures_.restore(position);
  if (adversary_) adversary_->restore(fields.object("adversary"));
  fields.finish();
}

std::function<void()> TokenizerStep::stage_model(const std::string& directory) {
  const at::NoGradGuard no_grad;
  const Magvit2 copy(tokenizer_.config(), tokenizer_.options().device(at::kCPU));
  const auto copied = copy.parameters(), trained = tokenizer_.parameters();
  for (size_t i = 0; i < copied.size(); ++i) at::Tensor(copied[i].second).copy_(trained[i].second);
  return [copy, directory] { save_image_tokenizer(copy, directory); };
}

MetricValues TokenizerStep::measure(const at::Tensor& codes_Bhw, const at::Tensor& decoded_B3HW) const {
  const at::Tensor error = (decoded_B3HW - held_).to(at::kFloat) / 2;
  const double mse = std::max(1e-12, error.square().mean().item<double>());
  const CodebookUsage usage = codebook_usage(codes_Bhw, tokenizer_.config().codebook_size());
  MetricValues values = {{"eval/psnr", -10.0 * std::log10(mse)},
                         {"eval/codes_used", static_cast<double>(usage.used)},
                         {"eval/codes_share", usage.share},
                         {"eval/perplexity", usage.perplexity}};
  if (!perceptual_) return values;
  double distance = 0;
  for (int64_t i = 0; i < held_.size(0); ++i)  // one at a time: VGG's first features are large
    distance += perceptual_->distance(decoded_B3HW.narrow(0, i, 1), held_.narrow(0, i, 1)).item<double>();
  values.emplace_back("eval/lpips", distance / static_cast<double>(held_.size(0)));
  return values;
}

Evaluation TokenizerStep::evaluate(int64_t) {
  const at::NoGradGuard no_grad;
  if (!held_.defined()) held_ = pictures_.first(kHeldPictures).to(tokenizer_.options());
  const at::Tensor codes = tokenizer_.encode(held_);
  const at::Tensor decoded = tokenizer_.decode(codes).clamp(-1, 1);
  std::vector<Image> sheet;  // the pictures above what became of them
  for (const at::Tensor& row : {held_, decoded})
    for (int64_t i = 0; i < kShownPictures; ++i)
      sheet.push_back(tensor_to_image(row[i].to(at::kCPU, at::kFloat)));
  return {.values = measure(codes, decoded),
          .images = {{"eval/reconstruction", contact_sheet(sheet, {.columns = kShownPictures})}}};
}

namespace {

LfqOptions parse_lfq(Fields& fields) {
  LfqOptions lfq;
  lfq.beta = fields.number("beta", 0.0, 1e6, lfq.beta);
  lfq.straight_through_commitment =
      fields.boolean("straight_through_commitment", lfq.straight_through_commitment);
  if (fields.choice("entropy_over", {"bits", "codes"}, "bits") == "codes") {
    lfq.entropy = LfqEntropy::kCodes;
    lfq.temperature = fields.number("temperature", 1e-4, 1e4, lfq.temperature);
    lfq.sample_entropy = fields.number("sample_entropy", 0.0, 1e6, lfq.sample_entropy);
    lfq.batch_entropy = fields.number("batch_entropy", 0.0, 1e6, lfq.batch_entropy);
  }
  return lfq;
}

}  // namespace

TokenizerLossOptions parse_tokenizer_loss(Fields fields) {
  TokenizerLossOptions loss;
  loss.l1 = fields.number("l1", 0.0, 1e6, loss.l1);
  loss.mse = fields.number("mse", 0.0, 1e6, loss.mse);
  loss.entropy = fields.number("entropy", 0.0, 1e6, loss.entropy);
  loss.commitment = fields.number("commitment", 0.0, 1e6, loss.commitment);
  loss.soft_fraction = fields.number("soft_fraction", 0.0, 1.0, loss.soft_fraction);
  loss.lpips = fields.number("lpips", 0.0, 1e6, loss.lpips);
  loss.lpips_from = fields.string("lpips_from", "");
  if (loss.lpips > 0 && loss.lpips_from.empty())
    fields.fail("lpips_from", "nothing", "the folder of LPIPS's weights (examples/python/convert_lpips.py)");
  loss.lfq = parse_lfq(fields);
  if (fields.has("adversarial")) loss.adversarial = parse_adversarial(fields.object("adversarial"));
  fields.finish();
  return loss;
}

}  // namespace mmada
