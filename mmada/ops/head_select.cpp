// SPDX-License-Identifier: MIT
#include "mmada/ops/head_select.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/select_states.h"

namespace mmada {
namespace {

// Columns of a chunk: constant, so that what a row gets never depends on the rows beside it.
constexpr int64_t kChunkColumns = 2048;
// Rows that share a pass over the head: 16 MiB of fp32 logits.
constexpr int64_t kPassRows = 2048;

const char* name_of(Confidence confidence) {
  switch (confidence) {
    case Confidence::kProbability:
      return "probability";
    case Confidence::kMargin:
      return "margin";
    case Confidence::kNegEntropy:
      return "neg_entropy";
    case Confidence::kRandom:
      return "random";
  }
  throw Error("confidence out of range");
}

bool needs_whole_rows(const HeadRows& rows, at::ScalarType type) {
  const SelectParams& p = rows.params;
  return p.double_precision || p.top_k > 0 || p.top_p < 1.0 || !p.never_confident.empty() ||
         (rows.in_weight_dtype && type != at::kFloat);
}

Selected select_whole_rows(const at::Tensor& hidden_ND, const at::Tensor& head_WD, const HeadRows& rows) {
  const auto count = static_cast<int64_t>(rows.params.positions.size());
  const bool coarse = rows.in_weight_dtype && hidden_ND.scalar_type() != at::kFloat;
  at::Tensor logits_NW = product_transposed(hidden_ND, head_WD);
  if (!coarse) logits_NW = logits_NW.to(at::kFloat);
  if (rows.guidance)
    logits_NW = mix_logits(*rows.guidance, logits_NW.narrow(0, 0, count), logits_NW.narrow(0, count, count));
  if (coarse) logits_NW = at::softmax(logits_NW, -1).to(at::kFloat).log();
  SelectParams params = rows.params;
  params.log_probabilities = coarse;
  return select_tokens(logits_NW, params);
}

at::Tensor integers(const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); }

/// int32 [3, N]: what the noise of each row is keyed by.
at::Tensor noise_rows(const SelectParams& params) {
  std::vector<int32_t> rows;
  for (const int64_t position : params.positions) rows.push_back(static_cast<int32_t>(position));
  rows.insert(rows.end(), params.positions.size(), static_cast<int32_t>(params.noise.step));
  rows.insert(rows.end(), params.positions.size(), static_cast<int32_t>(params.noise.stream));
  return integers(rows).view({3, -1});
}

at::Tensor banned_bits(const SelectParams& params) {
  std::vector<uint32_t> words(static_cast<size_t>(params.window.end) / 32 + 1);
  for (const int64_t id : params.banned)
    if (params.window.contains(id)) words[id / 32] |= uint32_t{1} << id % 32;
  return integers({words.begin(), words.end()});
}

/// One group on its way through the chunks of the vocabulary.
class Stream {
 public:
  Stream(const HeadRows& rows, int64_t begin, at::Device device) : rows_(rows), begin_(begin) {
    const SelectParams& p = rows.params;
    chunk_ = {.first_id = 0,
              .temperature = p.temperature,
              .token_key = stream_key(p.noise.seed, "token"),
              .guidance = 0.0,
              .difference_form = true};
    if (rows.guidance)
      chunk_.guidance = rows.guidance->scale, chunk_.difference_form = rows.guidance->difference_form;
    if (p.temperature > 0 || p.confidence == Confidence::kRandom) noise_3N_ = noise_rows(p).to(device);
    if (!p.banned.empty()) banned_bits_ = banned_bits(p).to(device);
  }

  /// The chunk's logits of all rows of the pass; column 0 is the vocabulary id first_id.
  void add(const at::Tensor& logits_NC, int64_t first_id) {
    const auto count = static_cast<int64_t>(rows_.params.positions.size());
    chunk_.first_id = first_id;
    std::optional<at::Tensor> uncond_NC;
    if (rows_.guidance) uncond_NC = logits_NC.narrow(0, begin_ + count, count);
    states_.push_back(
        select_statistics(logits_NC.narrow(0, begin_, count), uncond_NC, banned_bits_, noise_3N_, chunk_));
  }

  Selected finish() const {
    const SelectParams& p = rows_.params;
    const SelectAnswers answers = select_finish(at::cat(states_, 1), noise_3N_, name_of(p.confidence),
                                                stream_key(p.noise.seed, "random_confidence"));
    const at::Tensor ids_N = answers.ids_N.cpu(), confidence_N = answers.confidence_N.cpu();
    Selected selected;
    for (int64_t i = 0; i < ids_N.numel(); ++i) {
      const int32_t id = ids_N.const_data_ptr<int32_t>()[i];
      MMADA_CHECK(id != std::numeric_limits<int32_t>::max(), "select: row ", i, " (position ", p.positions[i],
                  "): found NaN or nothing but -inf among its logits, expected a finite one to choose");
      selected.ids.push_back(id);
      selected.confidence.push_back(confidence_N.const_data_ptr<float>()[i]);
    }
    return selected;
  }

 private:
  const HeadRows& rows_;
  int64_t begin_;
  SelectChunk chunk_;
  std::optional<at::Tensor> noise_3N_, banned_bits_;
  std::vector<at::Tensor> states_;
};

/// Groups [first, last), whose hidden rows are hidden_ND, together.
void select_pass(const at::Tensor& hidden_ND, const at::Tensor& head_WD, std::span<const HeadRows> groups,
                 std::span<Selected> selected) {
  std::vector<Stream> streams;
  int64_t begin = 0;
  for (const HeadRows& group : groups) {
    streams.emplace_back(group, begin, hidden_ND.device());
    begin += group.hidden_rows();
  }
  const Window window = groups.front().params.window;
  for (int64_t column = 0; column < window.size(); column += kChunkColumns) {
    const int64_t columns = std::min(kChunkColumns, window.size() - column);
    const at::Tensor logits_NC = product_transposed(hidden_ND, head_WD.narrow(0, column, columns));
    for (Stream& stream : streams) stream.add(logits_NC, window.begin + column);
  }
  for (size_t i = 0; i < streams.size(); ++i) selected[i] = streams[i].finish();
}

}  // namespace

at::Tensor mix_logits(const GuidanceMix& guidance, const at::Tensor& conditional_NW,
                      const at::Tensor& unconditional_NW) {
  const double scale = guidance.scale;
  if (guidance.difference_form) return unconditional_NW + (scale + 1.0) * (conditional_NW - unconditional_NW);
  return (1.0 + scale) * conditional_NW - scale * unconditional_NW;
}

std::vector<Selected> select_from_head(const at::Tensor& hidden_ND, const at::Tensor& head_WD,
                                       std::span<const HeadRows> groups) {
  int64_t rows = 0;
  for (const HeadRows& group : groups) {
    MMADA_CHECK(group.params.window.size() == head_WD.size(0), "select_from_head: window: found ",
                group.params.window.size(), " ids, expected the head's ", head_WD.size(0), " rows");
    rows += group.hidden_rows();
  }
  MMADA_CHECK(hidden_ND.dim() == 2 && hidden_ND.size(0) == rows, "select_from_head: hidden: found ",
              hidden_ND.sizes(), ", expected [", rows, ", D]: the rows of all groups");
  std::vector<Selected> selected(groups.size());
  int64_t begin = 0;
  for (size_t first = 0; first < groups.size();) {
    size_t last = first;
    int64_t size = 0;
    const bool whole = needs_whole_rows(groups[first], hidden_ND.scalar_type());
    do size += groups[last++].hidden_rows();
    while (!whole && last < groups.size() && size + groups[last].hidden_rows() <= kPassRows &&
           !needs_whole_rows(groups[last], hidden_ND.scalar_type()));
    const at::Tensor hidden = hidden_ND.narrow(0, begin, size);
    if (whole)
      selected[first] = select_whole_rows(hidden, head_WD, groups[first]);
    else
      select_pass(hidden, head_WD, groups.subspan(first, last - first),
                  std::span(selected).subspan(first, last - first));
    begin += size;
    first = last;
  }
  return selected;
}

}  // namespace mmada
