// SPDX-License-Identifier: MIT
#include "mmada/published/training_settings.h"

#include <array>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/config.h"
#include "mmada/core/quote.h"
#include "mmada/published/data_sources.h"
#include "mmada/published/validation_settings.h"

namespace mmada::published {
namespace {

constexpr int64_t kMax = int64_t{1} << 40;
constexpr int64_t kMaxRows = 1 << 16;

struct StageEntry {
  Stage stage;
  const char* name;
  const char* script;
};
constexpr std::array kStages = {StageEntry{Stage::k1, "1", "train_mmada.py"},
                                StageEntry{Stage::k2, "2", "train_mmada_stage2.py"},
                                StageEntry{Stage::k3, "3", "train_mmada_stage3.py"},
                                StageEntry{Stage::kCot, "cot", "train_mmada_cot_sft.py"},
                                StageEntry{Stage::k4, "4", "train_mmada_stage4.py"}};

const StageEntry& entry(Stage stage) { return kStages[static_cast<size_t>(stage)]; }

/// Reads the groups of one settings file and gathers what becomes of its keys.
class Converter {
 public:
  Converter(const Json& settings, const std::string& source, const ConversionOptions& options)
      : source_(source),
        resolved_(resolve_references(settings, source)),
        root_(resolved_, source),
        gpus_(options.gpus) {
    result_.stage = options.stage ? *options.stage : deduced_stage();
    if (!options.stage)
      note(cat("Stage ", stage_name(result_.stage), ", deduced from the keys; --stage says it otherwise."));
  }

  ConvertedSettings convert() {
    Json& config = result_.config;
    config["task"] = "transformer";
    config["experiment"] = experiment();
    Fields model = root_.object("model");
    Json image_tokenizer = vq_model(model.object("vq_model"));
    config["model"] = mmada(model.object("mmada"));
    skip(model, "model.", {"gradient_checkpointing"}, &result_.unread);
    model.finish();
    Fields dataset = root_.object("dataset");
    Fields preprocessing = dataset.object("preprocessing");
    const int64_t resolution = preprocessing.integer("resolution", 1, 1 << 14);
    image_tokenizer["resolution"] = resolution;
    image_tokenizer["fit"] = "clip";
    config["image_tokenizer"] = image_tokenizer;
    config["attention_mode"] = "additive_one";
    const int64_t text_budget = preprocessing.integer("max_seq_length", 1, 1 << 20);
    config["dataset"] = {{"max_seq_length", text_budget}, {"identical_rank_streams", false}};
    chat_length_ = preprocessing.integer("max_lm_text_length", 2, kMax, 0);
    if (documents()) skip(preprocessing, "dataset.preprocessing.", {"max_lm_text_length"}, &result_.left_out);
    skip(preprocessing, "dataset.preprocessing.", {"center_crop", "random_flip"}, &result_.unread);
    preprocessing.finish();
    const bool classes = dataset.choice("gen_type", {"t2i", "imagenet1k"}) == "imagenet1k";
    dataset.choice("und_type", {"captioning"}, "captioning");
    dataset.choice("combined_loader_mode", {"max_size_cycle"}, "max_size_cycle");
    const DataPaths paths = data_paths(dataset.object("params"), resolution);
    dataset.finish();
    Fields training = root_.object("training");
    config["dataset"]["flows"] = flows(training, paths, classes);
    config["validation"] = validation(training, text_budget);
    config["loss"] = {{"compat", "reference"}};
    config["optimizer"] = optimizer();
    config["lr_scheduler"] = lr_scheduler(config["optimizer"]["learning_rate"].get<double>());
    config["training"] = loop(training);
    config["dtype"] = dtype(training);
    config["device"] = "cuda";
    config["sharding"] = {{"zero", 3}, {"recompute", "norms_and_swiglu"}};
    finish_training(training);
    skip(root_, "", {"wandb"}, &result_.left_out);
    root_.finish();
    return std::move(result_);
  }

 private:
  void note(std::string sentence) { result_.notes.push_back(std::move(sentence)); }

  /// Marks the keys as known and lists those that the file has.
  static void skip(Fields& fields, const std::string& path, const std::vector<std::string>& keys,
                   std::vector<std::string>* list) {
    for (const std::string& key : keys) {
      if (fields.has(key)) list->push_back(path + key);
      fields.ignore(key);
    }
  }

  bool has(const std::string& pointer) const { return resolved_.contains(Json::json_pointer(pointer)); }

  Stage deduced_stage() const {
    if (has("/training/base_in_lm_coeff") || has("/training/cot_in_mmu_coeff")) return Stage::k4;
    if (has("/dataset/params/external_ai2d_caption_path")) return Stage::kCot;
    if (has("/dataset/params/train_instruct_shards_path_or_url")) return Stage::k3;
    const Json::json_pointer gen_type("/dataset/gen_type");
    return resolved_.value(gen_type, std::string("t2i")) == "imagenet1k" ? Stage::k1 : Stage::k2;
  }

  Json experiment() {
    Fields fields = root_.object("experiment");
    Json json = {{"output_dir", fields.string("output_dir")},
                 {"save_every", fields.integer("save_every", 0, kMax)},
                 {"log_every", fields.integer("log_every", 1, kMax)}};
    if (const int64_t limit = fields.integer("checkpoints_total_limit", 0, 1 << 20, 0); limit > 0)
      json["checkpoints_total_limit"] = limit;
    const Json& resume = fields.raw("resume_from_checkpoint");
    if (resume.is_string() && resume != "latest") json["resume_from_checkpoint"] = resume;
    if (has("/experiment/resume_from_checkpoint") && resume.is_null())
      json["resume_from_checkpoint"] = "none";
    skip(fields, "experiment.",
         {"project", "name", "max_train_examples_t2i", "max_train_examples_mmu", "log_grad_norm_every"},
         &result_.left_out);
    validation_.every = fields.integer("generate_every", 0, kMax, 0);
    skip(fields, "experiment.", {"eval_every", "val_every", "max_val_examples_t2i"}, &result_.unread);
    fields.finish();
    return json;
  }

  static Json vq_model(Fields fields) {
    fields.choice("type", {"magvitv2"});
    if (fields.has("pretrained_model_path"))
      fields.fail(
          "pretrained_model_path", "a pickled file",
          "none: convert it (examples/python/convert_checkpoint.py) and name the folder in vq_model_name");
    Json json = {{"from", fields.string("vq_model_name")}};
    fields.ignore("pretrained_model_path");
    fields.finish();
    return json;
  }

  Json mmada(Fields fields) {
    std::string from = fields.string("pretrained_model_path");
    const int64_t vocabulary = fields.integer("new_vocab_size", 1, 1 << 24, 134656);
    if (result_.stage == Stage::k1) {
      note(cat("Stage 1 begins with LLaDA, whose vocabulary grows first: mmada convert grow --model ",
               printable(from), " --vocab-size ", vocabulary, " -o ", printable(from), "-grown"));
      from += "-grown";
    }
    for (const char* key : {"w_clip_vit", "tie_word_embeddings"})
      if (fields.boolean(key, false)) fields.fail(key, "true", "false");
    fields.integer("num_new_special_tokens", 0, 0, 0);
    skip(fields, "model.mmada.", {"tokenizer_path", "llm_vocab_size", "codebook_size", "num_vq_tokens"},
         &result_.left_out);
    fields.finish();
    return {{"from", from}};
  }

  DataPaths data_paths(Fields fields, int64_t resolution) {
    const DataPaths paths = read_data_paths(fields, source_);
    if (const int64_t own = fields.integer("resolution", 1, 1 << 14, resolution); own != resolution)
      fields.fail("resolution", cat(own), cat(resolution, ", as in dataset.preprocessing"));
    skip(fields, "dataset.params.",
         {"external_text_to_image_2M_512_caption_path", "num_workers", "pin_memory", "persistent_workers"},
         &result_.left_out);
    read_validation_paths(fields, &validation_);
    skip(fields, "dataset.params.", {"add_caption_prompt"}, &result_.unread);
    fields.finish();
    return paths;
  }

  /// Stages whose text is documents; the others have conversations.
  bool documents() const { return result_.stage == Stage::k1 || result_.stage == Stage::k2; }

  /// Conversations shorter than max_lm_text_length, as the script's loader takes them.
  Json chat_source(const DataPaths& paths, const std::string& task) const {
    Json source = text_source(paths, task, "chat");
    if (chat_length_ > 0) {
      source["tokenizer"] = result_.config["model"]["from"];
      source["max_tokens"] = chat_length_ - 1;
    }
    return source;
  }

  Json text_flow_source(Fields& training, const DataPaths& paths) {
    if (documents()) return text_source(paths, "lm", "document");
    if (result_.stage == Stage::k4)
      return mixture({{training.number("base_in_lm_coeff", 0, 1e6), text_source(paths, "lm", "document")},
                      {training.number("instruct_in_lm_coeff", 0, 1e6), chat_source(paths, "instruct")}});
    const bool instruct = !paths.shards.at("instruct").empty();
    return chat_source(paths, instruct ? "instruct" : "lm");
  }

  Json picture_flow_source(Fields& training, const DataPaths& paths) {
    const Json shards = picture_source(paths, "mmu", Use::kUnderstanding);
    if (result_.stage != Stage::k4) return shards;
    std::vector<WeightedSource> sources = {{training.number("cot_in_mmu_coeff", 0, 1e6), shards}};
    for (const char* set : {"vqa", "clevr2", "geo170k"})
      sources.push_back(
          {training.number(cat(set, "_in_mmu_coeff"), 0, 1e6), conversation_source(paths, set)});
    return mixture(sources);
  }

  /// The two homes of the mask schedule; the group comes first, as there.
  std::string mask_schedule(Fields& training) {
    const std::string own = training.string("mask_schedule", "cosine");
    Fields group = root_.object("mask_schedule");
    const std::string schedule = group.string("schedule", own);
    const Json& parameters = group.raw("params");
    if (!parameters.is_null() && !parameters.empty()) group.fail("params", "values", "none");
    group.finish();
    return schedule;
  }

  Json flow(Fields& training, const char* kind, const std::string& task) {
    const int64_t rows = training.integer("batch_size_" + task, 0, kMaxRows / gpus_) * gpus_;
    return {{"flow", kind}, {"rows", rows}, {"coefficient", training.number(task + "_coeff", 0, 1e6)}};
  }

  Json flows(Fields& training, const DataPaths& paths, bool classes) {
    Json t2i = flow(training, "t2i", "t2i");
    t2i["cond_dropout_prob"] = training.number("cond_dropout_prob", 0, 1);
    t2i["mask_schedule"] = mask_schedule(training);
    for (const char* key : {"min_masking_rate", "mask_contiguous_region_prob"})
      if (const double value = training.number(key, 0, 1, 0.0); value > 0) t2i[key] = value;
    if (training.boolean("predict_all_tokens", false)) t2i["predict_all_tokens"] = true;
    t2i["source"] = classes ? class_folder_source(paths) : picture_source(paths, "t2i", Use::kGeneration);
    Json text = flow(training, documents() ? "lm" : "lm_chat", "lm");
    text["source"] = text_flow_source(training, paths);
    Json mmu = flow(training, "mmu", "mmu");
    mmu["source"] = picture_flow_source(training, paths);
    Json list = {t2i, text, mmu};
    if (result_.stage == Stage::kCot) {
      note(
          "The flow r2i, reasoning before drawing, is not in the file: it has no rows until somebody gives "
          "it some.");
      list.push_back({{"flow", "r2i"},
                      {"rows", 0},
                      {"coefficient", 1.0},
                      {"source", {{"type", "r2i_folder"}, {"path", "data/r2i"}, {"terminator", "literal"}}}});
    }
    return list;
  }

  Json validation(Fields& training, int64_t text_budget) {
    read_validation_numbers(training, &validation_);
    validation_.mask_schedule = result_.config["dataset"]["flows"][0]["mask_schedule"];
    if (validation_.questions.empty() || validation_.chat_file.empty())
      note(
          "Questions about pictures and chats during training are asked as far as the file names them "
          "(mmu_validation_prompts_file with mmu_image_root, lm_chat_validation_jsonl).");
    if (documents() && !validation_.chat_file.empty())
      result_.left_out.push_back("dataset.params.lm_chat_validation_jsonl");
    Fields scores = root_.object("validation");
    if (scores.has("quantative_prompts_file"))
      note("The scores over validation.quantative_prompts_file (CLIPScore, ImageReward) are not taken over.");
    skip(scores, "validation.", {"quantative_prompts_file", "quantative_batch_size"}, &result_.left_out);
    scores.finish();
    return validation_section(validation_, result_.stage, text_budget);
  }

  Json optimizer() {
    Fields fields = root_.object("optimizer");
    fields.choice("name", {"adamw"});
    Fields params = fields.object("params");
    Json json = {{"learning_rate", params.number("learning_rate", 0, 10)},
                 {"beta1", params.number("beta1", 0, 1)},
                 {"beta2", params.number("beta2", 0, 1)},
                 {"epsilon", params.number("epsilon", 0, 1)},
                 {"weight_decay", params.number("weight_decay", 0, 10)},
                 {"decay_norms", true},
                 {"decay_embeddings", true}};
    skip(params, "optimizer.params.", {"scale_lr"}, &result_.unread);
    params.finish();
    fields.finish();
    return json;
  }

  Json lr_scheduler(double learning_rate) {
    Fields fields = root_.object("lr_scheduler");
    const std::string name =
        fields.choice("scheduler", {"cosine", "linear", "constant", "constant_with_warmup"});
    Fields params = fields.object("params");
    if (const double rate = params.number("learning_rate", 0, 10, learning_rate); rate != learning_rate)
      params.fail("learning_rate", cat(rate), cat(learning_rate, ", the optimizer's"));
    if (!params.has("min_lr_scale"))
      note("lr_scheduler.params.min_lr_scale is not in the file, and its script reads it: 0 here.");
    Json json = {{"name", name},
                 {"warmup_steps", name == "constant" ? 0 : params.integer("warmup_steps", 0, kMax)},
                 {"min_lr_scale", params.number("min_lr_scale", 0, 1, 0.0)}};
    params.ignore("warmup_steps");
    params.finish();
    fields.finish();
    return json;
  }

  static Json loop(Fields& training) {
    return {{"max_train_steps", training.integer("max_train_steps", 1, kMax)},
            {"gradient_accumulation_steps", training.integer("gradient_accumulation_steps", 1, 1 << 20, 1)},
            {"max_grad_norm", training.has("max_grad_norm") ? training.number("max_grad_norm", 0, 1e9) : 0.0},
            {"seed", training.integer("seed", 0, INT64_MAX)}};
  }

  static std::string dtype(Fields& training) {
    const std::string precision = training.choice("mixed_precision", {"bf16", "fp16", "no"});
    return precision == "no" ? "fp32" : precision;
  }

  void finish_training(Fields& training) {
    training.choice("noise_type", {"mask"}, "mask");
    if (training.boolean("overfit_one_batch", false)) training.fail("overfit_one_batch", "true", "false");
    training.ignore("max_grad_norm");
    skip(training, "training.", {"enable_tf32", "eval_mask_ratios"}, &result_.left_out);
    skip(training, "training.", {"label_smoothing", "validation_seed"}, &result_.unread);
    training.finish();
  }

  std::string source_;
  Json resolved_;
  Fields root_;
  int64_t gpus_;
  int64_t chat_length_ = 0;  ///< tokens; 0: any
  PublishedValidation validation_;
  ConvertedSettings result_;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + printable(word);
  return text;
}

}  // namespace

Stage stage_from_name(const std::string& name) {
  for (const StageEntry& entry : kStages)
    if (name == entry.name) return entry.stage;
  throw UsageError(cat("stage: found ", quote(name), ", expected 1, 2, 3, cot or 4"));
}

std::string stage_name(Stage stage) { return entry(stage).name; }

ConvertedSettings convert_training_settings(const Json& settings, const std::string& source,
                                            const ConversionOptions& options) {
  MMADA_CHECK(settings.is_object(), source, ": found ", found_text(settings),
              ", expected groups of settings");
  ConvertedSettings converted = Converter(settings, source, options).convert();
  converted.notes.insert(
      converted.notes.begin(),
      {cat("Rows are those of a micro-batch over all processes: batch_size_* times ", options.gpus, " GPUs."),
       cat("From the script (", entry(converted.stage).script,
           ") and not from the file: attention_mode, loss, fit, decay_*, sources' formats, and that "
           "rows have random streams of their own.")});
  converted.notes.push_back(
      "To be brought: data/caption_questions.json (a list of caption questions), and pictures as these paths "
      "name them.");
  return converted;
}

std::string jsonc_text(const ConvertedSettings& converted, const std::string& source) {
  std::string text = cat("// Converted by `mmada convert config` from ",
                         printable(std::filesystem::path(source).filename().string()),
                         ", the published settings of stage ", stage_name(converted.stage), ".\n");
  for (const std::string& sentence : converted.notes) text += "// " + sentence + "\n";
  if (!converted.left_out.empty()) text += "// Left out: " + joined(converted.left_out) + "\n";
  if (!converted.unread.empty())
    text += "// Left out, read by nothing there: " + joined(converted.unread) + "\n";
  return text + converted.config.dump(2) + "\n";
}

}  // namespace mmada::published
