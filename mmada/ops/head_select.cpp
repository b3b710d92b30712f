// SPDX-License-Identifier: MIT
#include "mmada/ops/head_select.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

/// Whether the published arithmetic is asked for, which runs on the CPU.
bool as_published(const HeadRows& rows, at::ScalarType type) {
  return rows.params.double_precision || (rows.in_weight_dtype && type != at::kFloat);
}

Selected select_as_published(const at::Tensor& hidden_ND, const at::Tensor& head_WD, const HeadRows& rows) {
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

Selected to_host(const SelectAnswers& answers, const SelectParams& params) {
  const at::Tensor ids_N = answers.ids_N.cpu(), confidence_N = answers.confidence_N.cpu();
  Selected selected;
  for (int64_t i = 0; i < ids_N.numel(); ++i) {
    const int32_t id = ids_N.const_data_ptr<int32_t>()[i];
    MMADA_CHECK(id != kNoChoice, "select: row ", i, " (position ", params.positions[i],
                "): found NaN or nothing but -inf among its logits, expected a finite one to choose");
    selected.ids.push_back(id);
    selected.confidence.push_back(confidence_N.const_data_ptr<float>()[i]);
  }
  return selected;
}

/// Groups whose hidden rows are hidden_ND, together.
void select_pass(const at::Tensor& hidden_ND, const at::Tensor& head_WD, std::span<const HeadRows> groups,
                 std::span<Selected> selected) {
  std::vector<SelectStream> streams;
  for (const HeadRows& group : groups)
    streams.emplace_back(group.params, group.guidance, static_cast<int64_t>(group.params.positions.size()),
                         noise_rows(group.params), noise_keys(group.params.noise.seed, hidden_ND.device()),
                         hidden_ND.device());
  stream_head(hidden_ND, head_WD, groups.front().params.window, streams);
  for (size_t i = 0; i < streams.size(); ++i) selected[i] = to_host(streams[i].answers(), groups[i].params);
}

}  // namespace

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
    const bool published = as_published(groups[first], hidden_ND.scalar_type());
    do size += groups[last++].hidden_rows();
    while (!published && last < groups.size() && size + groups[last].hidden_rows() <= kPassRows &&
           !as_published(groups[last], hidden_ND.scalar_type()));
    const at::Tensor hidden = hidden_ND.narrow(0, begin, size);
    if (published)
      selected[first] = select_as_published(hidden, head_WD, groups[first]);
    else
      select_pass(hidden, head_WD, groups.subspan(first, last - first),
                  std::span(selected).subspan(first, last - first));
    begin += size;
    first = last;
  }
  return selected;
}

}  // namespace mmada
