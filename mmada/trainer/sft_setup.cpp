// SPDX-License-Identifier: MIT
#include "mmada/trainer/sft_setup.h"

#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/text/chat.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens = 1 << 20;

LossCompat parse_loss_compat(Fields fields) {
  const bool reference = fields.choice("compat", {"fixed", "reference"}, "fixed") == "reference";
  LossCompat compat = reference ? LossCompat::reference() : LossCompat::fixed();
  compat.t2i_boundary_targets = fields.boolean("t2i_boundary_targets", compat.t2i_boundary_targets);
  compat.t2i_code_window = fields.boolean("t2i_code_window", compat.t2i_code_window);
  compat.t2i_inverse_time = fields.boolean("t2i_inverse_time", compat.t2i_inverse_time);
  fields.finish();
  return compat;
}

/// Gives validation's pictures the training's sizes, and refuses what could not be drawn or asked.
void complete_validation(const Model& model, const SampleEncoder& encoder, int64_t text_budget,
                         int64_t longest, const std::string& source, ValidationOptions* validation) {
  if (validation->every == 0) return;
  const auto check_question = [&](const std::string& question, int64_t before, int64_t answer) {
    const auto prompt = std::ssize(model.tokenizer->encode(apply_chat_template({{"user", question}})));
    MMADA_CHECK(before + prompt + answer <= longest, source, ": field `validation`: found ", quote(question),
                ", a prompt of ", before + prompt, " tokens with an answer of ", answer,
                ", expected at most the model's max_sequence_length ", longest);
  };
  for (const std::string& chat : validation->chats) check_question(chat, 0, validation->chat.gen_length);
  if (!validation->needs_pictures()) return;
  MMADA_CHECK(
      encoder.image_tokenizer() != nullptr, source,
      ": field `image_tokenizer.from`: found nothing, expected an image tokenizer for the pictures of "
      "`validation`");
  const SampleEncoder::Options& options = encoder.options();
  ImageOptions& pictures = validation->pictures;
  pictures.rows = pictures.columns = options.resolution / encoder.image_tokenizer()->config().factor();
  pictures.max_text_length = text_budget;
  pictures.fit = fit_name(options.fit);
  for (const auto& question : validation->questions)
    check_question(question.text, encoder.image_tokens() + 3, validation->answers.gen_length);
  for (const std::string& prompt : validation->prompts) {
    const auto tokens = static_cast<int64_t>(model.tokenizer->encode(prompt).size()) + 2;
    MMADA_CHECK(tokens <= text_budget, source, ": field `validation.prompts`: found ", quote(prompt), " of ",
                tokens, " tokens with bos and eos, expected at most max_seq_length ", text_budget);
  }
}

}  // namespace

SftSetup set_up_sft(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                    const LoadOptions& load) {
  SftStep::Options options;
  options.batches.micro_batches = trainer.gradient_accumulation_steps;
  options.batches.steps = trainer.max_train_steps;
  options.batches.rows.seed = trainer.seed;
  options.batches.rows.compat = parse_loss_compat(fields.object("loss"));
  Fields dataset = fields.object("dataset");
  options.batches.flows = FlowPlan(dataset, source);
  options.batches.rows.text_budget = dataset.integer("max_seq_length", 2, kMaxTokens);
  options.batches.rows.stratified_times = dataset.boolean("stratified_times", true);
  options.batches.rows.identical_rank_streams = dataset.boolean("identical_rank_streams", false);
  options.batches.rows.packed = dataset.boolean("packed", false);
  options.batches.rows.supervised_eos_tail =
      dataset.integer("supervised_eos_tail", -1, kMaxTokens, options.batches.rows.packed ? 0 : -1);
  options.batches.rows.attention_mode =
      attention_mode_from_name(fields.choice("attention_mode", {"hard", "none", "additive_one"}, "hard"));
  if (options.batches.rows.packed || options.batches.rows.supervised_eos_tail >= 0)
    if (options.batches.rows.attention_mode != AttentionMode::kHard)
      dataset.fail(options.batches.rows.packed ? "packed" : "supervised_eos_tail",
                   "padding left out under attention that sees it", "attention_mode \"hard\"");
  dataset.finish();
  Fields gate = fields.object("condition_gate");
  options.gate.rows = gate.integer("rows", 2, kMaxTokens, options.gate.rows);
  gate.finish();
  options.validation = parse_validation(fields.object("validation"));
  TransformerFields transformer(fields, trainer, load);
  fields.finish();

  TransformerSetup setup = transformer.load();
  const Model& model = setup.built.model;
  options.batches.rows.layout = model.layout;
  options.batches.rows.image_tokens = setup.encoder.image_tokens();
  complete_validation(model, setup.encoder, options.batches.rows.text_budget,
                      setup.built.sizes.max_sequence_length, source, &options.validation);
  options.batches.rows.assistant = model.tokenizer->encode("assistant");
  return {.transformer = std::move(setup), .options = std::move(options)};
}

SftStep make_sft_step(SftSetup setup, Group group) {
  SampleEncoder encoder = setup.transformer.encoder;
  return {make_network(std::move(setup.transformer), std::move(group)), std::move(encoder),
          std::move(setup.options)};
}

RunShape run_shape(const SftSetup& setup, int64_t processes) {
  RunShape most;
  for (const auto& phase : setup.options.batches.flows.all()) {
    const RunShape run = run_shape(setup.transformer, processes, setup.options.batches.micro_batches,
                                   pass_shapes(phase, setup.options.batches.rows, processes));
    if (most.passes.empty() || memory_plan(run).total() > memory_plan(most).total()) most = run;
  }
  return most;
}

}  // namespace mmada
