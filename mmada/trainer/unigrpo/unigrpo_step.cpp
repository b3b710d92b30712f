// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/unigrpo_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/core/sha256.h"
#include "mmada/distributed/gather.h"
#include "mmada/trainer/unigrpo/sharded_rollout.h"

namespace mmada {

UniGrpoStep::UniGrpoStep(Network network, SampleEncoder encoder, RewardSet rewards, UniGrpoOptions options)
    : TransformerStep(std::move(network)),
      encoder_(std::move(encoder)),
      options_(std::move(options)),
      prompts_(options_.phase.streams, options_.phase.seed, "dataset.prompts"),
      maker_(options_.phase, std::move(rewards), group()) {
  if (options_.needs_reference()) reference_.emplace(transformer(), options_.offload_reference);
}

/// This process's share of the responses.
Span UniGrpoStep::own_responses() const {
  const int64_t count = std::ssize(phase_->responses), rank = group().rank(), size = group().size();
  return {count * rank / size, count * (rank + 1) / size};
}

std::vector<PolicyRow> UniGrpoStep::rows_of(Span responses, int64_t update) const {
  const PolicyNoise noise{.levels = options_.levels,
                          .noise = options_.noise,
                          .seed = options_.phase.seed,
                          .outer_step = phase_->outer_step};
  return policy_rows(phase_->responses, phase_->advantages, responses, update, noise, options_.weighting,
                     model().layout);
}

/// log p of every update's tokens under the weights as they are, of all processes' responses. `entropy`,
/// where it is asked for, receives the mean of theirs in nats.
std::vector<at::Tensor> UniGrpoStep::logprobs_of_updates(double* entropy) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> result;
  std::vector<double> entropies{0, 0};  // their sum, and of how many tokens
  for (int64_t update = 0; update < updates(); ++update) {
    const std::vector<PolicyRow> rows = rows_of(own_responses(), update);
    const auto passes = policy_passes(rows, options_.tokens_per_pass, model().layout);
    const int64_t most = group().largest({std::ssize(passes)}).front();
    // of no tokens it still has the type that the others' have
    std::vector<at::Tensor> parts{at::empty({0}, transformer().logprobs_type())};
    for (int64_t i = 0; i < most; ++i) {
      if (i >= std::ssize(passes)) {
        transformer().idle_pass();
        continue;
      }
      at::Tensor entropy_N;
      parts.push_back(transformer()
                          .logprobs(passes[i].rows, passes[i].positions_N, passes[i].targets,
                                    entropy == nullptr ? nullptr : &entropy_N)
                          .cpu());
      if (entropy == nullptr) continue;
      entropies[0] += entropy_N.sum(at::kDouble).item<double>();
      entropies[1] += static_cast<double>(entropy_N.size(0));
    }
    result.push_back(gather_rows(group(), at::cat(parts)));
  }
  if (entropy == nullptr) return result;
  entropies = group().sum(std::move(entropies));
  *entropy = entropies[0] / std::max(1.0, entropies[1]);
  return result;
}

/// Tells the weights apart, by sums over the bits of all of them, once plain and once by their places. They
/// are exact and in no order, so that they are the same for any number of processes, of which each adds its
/// shard's.
std::string UniGrpoStep::fingerprint() const {
  constexpr int64_t kChunk = int64_t{1} << 22;
  std::vector<at::Tensor> sums;
  std::vector<uint64_t> keys;
  for (const ShardSegment& segment : transformer().shards().segments()) {
    const at::Tensor master = segment.master.detach();
    const at::Tensor bits = master.view(master.element_size() == 8 ? at::kLong : at::kInt);
    for (int64_t begin = 0; begin < bits.numel(); begin += kChunk) {
      const at::Tensor part = bits.narrow(0, begin, std::min(kChunk, bits.numel() - begin)).to(at::kLong);
      const int64_t first = segment.offset + begin + 1;
      const at::Tensor places = at::arange(first, first + part.numel(), part.options());
      sums.push_back(at::stack({part.sum(), (part * places).sum()}));
      keys.push_back(stream_key(0, segment.name) | 1);
    }
  }
  uint64_t own[2] = {0, 0};
  if (!sums.empty()) {
    const at::Tensor host = at::stack(sums).cpu();
    for (size_t i = 0; i < sums.size(); ++i)
      for (size_t k = 0; k < 2; ++k)
        own[k] += keys[i] * static_cast<uint64_t>(host.const_data_ptr<int64_t>()[2 * i + k]);
  }
  const at::Tensor all = at::from_blob(own, {2}, at::kLong);
  group().all_reduce(all);
  Sha256 digest;
  digest.update(own, sizeof own);
  return hex(digest.digest()) + transformer().base_sha256();
}

/// Runs `work` with what answers; whoever does not `generate` holds no whole weights.
template <class Work>
auto UniGrpoStep::with_policy(bool generates, const Work& work) {
  const auto& images = encoder_.image_tokenizer();
  const auto generator = [&](Model answering) {
    return images == nullptr ? Generator(std::move(answering)) : Generator(std::move(answering), *images);
  };
  if (!options_.sharded_rollouts) return work(PhasePolicy{generator(whole_model(generates)), fingerprint()});
  Model sizes = model();
  sizes.transformer = Transformer(transformer().config(), weights().device(at::kMeta));
  ShardedRollout rollout(transformer(), weights());
  return work(PhasePolicy{generator(std::move(sizes)).on(rollout.model()), fingerprint(),
                          [&rollout] { rollout.keep_company(); }});
}

void UniGrpoStep::sync_reference(int64_t outer_step) {
  const int64_t every = options_.sync_reference_every;
  if (reference_ && every > 0 && outer_step > 0 && outer_step % every == 0)
    reference_->sync(transformer(), options_.sync_mix);
}

bool UniGrpoStep::prepare(int64_t step, const std::function<bool()>& stop) {
  const int64_t outer_step = step / updates();
  if (phase_ && phase_->outer_step == outer_step) return true;
  MMADA_CHECK(step % updates() == 0, "found no responses of outer step ", outer_step, " at its update ",
              step % updates() + 1, ", expected those that its first update was made with");
  const Json position = prompts_.state();
  const auto give_back = [&] { prompts_.restore(position, "prompts", ""); };  // for whoever goes on here
  transformer().shards().release_all();
  const auto prompts = prompts_.next();
  try {
    phase_ = with_policy(true, [&](const PhasePolicy& policy) {
      return maker_.make(outer_step, prompts, policy, encoder_, stop);
    });
  } catch (...) {
    give_back();
    throw;
  }
  if (!phase_) {
    give_back();
    return false;
  }
  sync_reference(outer_step);
  double entropy = 0;
  phase_->old = logprobs_of_updates(&entropy);
  phase_->metrics.emplace_back("entropy", entropy);
  if (reference_) reference_->in_place_of(transformer(), [&] { phase_->reference = logprobs_of_updates(); });
  return true;
}

/// What the objective is made of.
PolicyTokens UniGrpoStep::tokens_of(const PolicyPass& pass, int64_t update,
                                    const at::Tensor& logprobs_N) const {
  const at::TensorOptions like = logprobs_N.options().requires_grad(false);
  const auto cached = [&](const std::vector<at::Tensor>& of_updates) {
    return of_updates[update].narrow(0, pass.first, logprobs_N.size(0)).to(like);
  };
  std::vector<double> advantages;  // those that are none have no row
  for (const auto& advantage : phase_->advantages) advantages.push_back(advantage.value_or(0.0));
  PolicyTokens tokens{
      .logprobs_N = logprobs_N,
      .old_N = cached(phase_->old),
      .reference_N = {},
      .advantages_N = at::tensor(advantages, at::kDouble).index_select(0, pass.responses_N).to(like),
      .weights_N = pass.weights_N.to(like),
      .rows_N = pass.rows_N.to(like.device())};
  if (reference_) tokens.reference_N = cached(phase_->reference);
  if (options_.kl_against == KlAgainst::kOld) tokens.reference_N = tokens.old_N;
  return tokens;
}

StepReport UniGrpoStep::report(int64_t update, std::vector<double> sums, int64_t tokens) const {
  sums.push_back(static_cast<double>(tokens));
  const std::vector<double> total = group().sum(std::move(sums));
  StepReport report{.loss = total[0],
                    .parts = {{"kl", total[1]},
                              {"ratio", total[2]},
                              {"clip_ratio/low_mean", total[3]},
                              {"clip_ratio/high_mean", total[4]},
                              {"clip_ratio/region_mean", total[3] + total[4]}},
                    .rows = std::ssize(phase_->responses),
                    .tokens = static_cast<int64_t>(total[5])};
  if (update == 0) {
    report.parts.insert(report.parts.end(), phase_->metrics.begin(), phase_->metrics.end());
    report.notices = phase_->notices;
  }
  report.update = std::ranges::any_of(phase_->advantages, [](const auto& x) { return x.has_value(); });
  return report;
}

StepReport UniGrpoStep::compute(int64_t step) {
  const int64_t update = step % updates();
  transformer().shards().release_all();  // the optimizer has changed the shards
  const std::vector<PolicyRow> rows = rows_of(own_responses(), update);
  const auto passes = policy_passes(rows, options_.tokens_per_pass, model().layout);
  const int64_t most = group().largest({std::ssize(passes)}).front();
  const at::Tensor sums = zero_sums(5);
  int64_t tokens = 0;
  for (int64_t i = 0; i < most; ++i) {
    if (i >= std::ssize(passes)) {
      transformer().idle_pass().backward();
      continue;
    }
    const PolicyPass& pass = passes[i];
    const at::Tensor logprobs_N = transformer().logprobs(pass.rows, pass.positions_N, pass.targets);
    const PolicyLoss found = policy_loss(tokens_of(pass, update, logprobs_N), options_.loss);
    found.loss.backward();
    const at::Tensor* values[] = {&found.loss, &found.kl, &found.ratio, &found.clipped_low,
                                  &found.clipped_high};
    for (int64_t k = 0; k < sums.size(0); ++k) sums.select(0, k).add_(values[k]->detach());
    tokens += pass.rows.ids_BT.numel();
  }
  const StepReport done = report(update, read_sums(sums), tokens);
  if (update + 1 == updates()) phase_.reset();
  return done;
}

Json UniGrpoStep::state() const {
  Json state = {{"prompts", prompts_.state()}, {"phase", phase_ ? phase_json(*phase_) : Json(nullptr)}};
  add_lora_base(&state);
  return state;
}

void UniGrpoStep::restore(const Json& state) {
  Fields fields(state, "state.json", "train_step");
  check_lora_base(fields);  // first: what else is wrong may be allowed
  prompts_.restore(fields.raw("prompts"), "state.json", "train_step.prompts");
  phase_.reset();
  if (fields.has("phase")) {
    phase_ = parse_phase(fields.raw("phase"), "state.json", "train_step.phase");
    if (std::ssize(phase_->old) != updates())
      fields.fail("phase.old", cat("log-probabilities of ", phase_->old.size(), " updates"),
                  cat("of ", updates(), ": num_iterations may change between two outer steps alone"));
    if (reference_ && phase_->reference.size() != phase_->old.size())
      fields.fail("phase.reference", "none",
                  "those of a reference: beta may change between two outer steps alone");
  }
  fields.ignore("phase");
  fields.finish();
}

std::vector<CheckpointTensor> UniGrpoStep::tensors() const {
  if (!reference_ || options_.sync_reference_every == 0) return {};
  return reference_->tensors(transformer());
}

Evaluation UniGrpoStep::evaluate(int64_t) {
  const bool measures = group().rank() == 0;
  transformer().shards().release_all();
  return with_policy(measures, [&](const PhasePolicy& policy) {
    Evaluation found;
    std::string stop;
    std::exception_ptr failed;
    group().agree("evaluation", [&] {
      try {
        if (measures)
          found = evaluate_rewards(policy.generator, encoder_, maker_.rewards(), options_.evaluation);
      } catch (const RewardFailure& failure) {  // all processes end alike, below
        stop = cat("evaluation: ", failure.what());
      } catch (...) {
        failed = std::current_exception();
      }
      policy.keep_company();  // whatever happened: the others wait in it
      if (failed) std::rethrow_exception(failed);
    });
    for (const std::string& reason : gather_bytes(group(), stop))
      if (!reason.empty()) throw RunEnded(reason);
    return found;
  });
}

}  // namespace mmada
