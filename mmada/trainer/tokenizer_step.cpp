// SPDX-License-Identifier: MIT
#include "mmada/trainer/tokenizer_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "mmada/core/check.h"
#include "mmada/vision/contact_sheet.h"

namespace mmada {
namespace {

constexpr int64_t kHeldPictures = 32, kShownPictures = 8;

void add(const char* name, const at::Tensor& value, double share, StepReport* report) {
  const auto same = std::find_if(report->parts.begin(), report->parts.end(),
                                 [&](const auto& part) { return part.first == name; });
  const double mean = value.item<double>() * share;
  if (same == report->parts.end())
    report->parts.emplace_back(name, mean);
  else
    same->second += mean;
}

}  // namespace

TokenizerStep::TokenizerStep(Magvit2 tokenizer, std::unique_ptr<SampleSource> source, const Options& options)
    : tokenizer_(std::move(tokenizer)), source_(std::move(source)), options_(options) {
  const int64_t factor = tokenizer_.config().factor();
  MMADA_CHECK(options_.resolution % factor == 0, "image tokenizer training: found resolution ",
              options_.resolution, ", expected a multiple of ", factor);
  for (const TrainedTensor& parameter : parameters()) parameter.tensor.set_requires_grad(true);
}

std::vector<TrainedTensor> TokenizerStep::parameters() const {
  std::vector<TrainedTensor> parameters;
  for (const auto& [name, tensor] : tokenizer_.parameters())  // vectors here are biases and group norms
    parameters.push_back(
        trained_whole({name, tensor, tensor.dim() == 1 ? ParameterKind::kNorm : ParameterKind::kLinear}));
  return parameters;
}

at::Tensor TokenizerStep::draw(SampleSource& source, int64_t count) const {
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < count; ++i)
    pictures.push_back(
        image_to_tensor(source.next().image, options_.resolution, options_.resolution, options_.fit));
  return at::stack(pictures).to(tokenizer_.options());
}

StepReport TokenizerStep::compute(int64_t step) {
  StepReport report;
  const double share = 1.0 / static_cast<double>(options_.micro_batches);
  const double progress =
      std::min(1.0, static_cast<double>(step) / static_cast<double>(options_.max_train_steps));
  for (int64_t micro = 0; micro < options_.micro_batches; ++micro) {
    const at::Tensor images = draw(*source_, options_.rows);
    Rng rng(options_.seed, "soften", static_cast<uint64_t>(step * options_.micro_batches + micro));
    const TokenizerLoss loss = tokenizer_loss(tokenizer_, images, options_.loss, progress, rng);
    (loss.total * share).backward();
    report.loss += loss.total.item<double>() * share;
    add("loss/l1", loss.l1, share, &report);
    add("loss/mse", loss.mse, share, &report);
    add("loss/entropy", loss.entropy, share, &report);
    add("loss/commitment", loss.commitment, share, &report);
    const int64_t side = options_.resolution / tokenizer_.config().factor();
    report.rows += options_.rows;
    report.tokens += options_.rows * side * side;
  }
  return report;
}

void TokenizerStep::restore(const Json& state) {
  Fields fields(state, "state.json", "train_step");
  const Json& position = fields.raw("source");
  if (position.is_null()) fields.fail("source", "nothing", "the data position");
  source_->restore(position);
  fields.finish();
}

Evaluation TokenizerStep::evaluate(int64_t) {
  const at::NoGradGuard no_grad;
  if (!held_.defined()) {  // the source's first pictures, without moving its position
    const Json position = source_->state();
    held_ = draw(*source_, kHeldPictures);
    source_->restore(position);
  }
  const at::Tensor codes = tokenizer_.encode(held_);
  const at::Tensor decoded = tokenizer_.decode(codes).clamp(-1, 1);
  const at::Tensor error = (decoded - held_).to(at::kFloat) / 2;
  const double mse = std::max(1e-12, error.square().mean().item<double>());
  const auto used = static_cast<double>(std::get<0>(at::_unique2(codes.flatten())).numel());
  std::vector<Image> sheet;  // the pictures above what became of them
  for (const at::Tensor& row : {held_, decoded})
    for (int64_t i = 0; i < kShownPictures; ++i)
      sheet.push_back(tensor_to_image(row[i].to(at::kCPU, at::kFloat)));
  return {.values = {{"eval/psnr", -10.0 * std::log10(mse)}, {"eval/codes_used", used}},
          .images = {{"eval/reconstruction", contact_sheet(sheet, {.columns = kShownPictures})}}};
}

TokenizerLossOptions parse_tokenizer_loss(Fields fields) {
  TokenizerLossOptions loss;
  loss.l1 = fields.number("l1", 0.0, 1e6, loss.l1);
  loss.mse = fields.number("mse", 0.0, 1e6, loss.mse);
  loss.entropy = fields.number("entropy", 0.0, 1e6, loss.entropy);
  loss.commitment = fields.number("commitment", 0.0, 1e6, loss.commitment);
  loss.soft_fraction = fields.number("soft_fraction", 0.0, 1.0, loss.soft_fraction);
  loss.lfq.beta = fields.number("beta", 0.0, 1e6, loss.lfq.beta);
  loss.lfq.straight_through_commitment =
      fields.boolean("straight_through_commitment", loss.lfq.straight_through_commitment);
  fields.finish();
  return loss;
}

}  // namespace mmada
