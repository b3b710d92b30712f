// SPDX-License-Identifier: MIT
// Shape suffixes: N positions, D width of hidden states, W ids of the window, R and C rows and ids of one
// chunk.
#include "mmada/ops/logprobs.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// What sums are made in.
at::ScalarType wide(const at::Tensor& operand) {
  return operand.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

struct Piece {
  int64_t begin, size;
};

std::vector<Piece> pieces(int64_t total, int64_t step) {
  std::vector<Piece> result;
  for (int64_t begin = 0; begin < total; begin += step)
    result.push_back({begin, std::min(step, total - begin)});
  return result;
}

struct Chunks {
  Chunks(int64_t count, int64_t window)
      : rows(pieces(count, kLogprobsChunkRows)),
        ids(pieces(window, kLogprobsChunkBytes / static_cast<int64_t>(sizeof(float)) /
                               std::max<int64_t>(1, std::min(count, kLogprobsChunkRows)))) {}
  std::vector<Piece> rows, ids;
};

at::Tensor part(const at::Tensor& tensor, Piece piece) { return tensor.narrow(0, piece.begin, piece.size); }

// fp32 logits [R, C], fp64 ones of fp64 operands. Low-precision operands are widened by the product itself or
// before it, never rounded after it.
at::Tensor chunk_logits(const at::Tensor& hidden_RD, const at::Tensor& head_CD) {
  if (hidden_RD.is_cuda() && hidden_RD.scalar_type() != at::kFloat)
    return at::mm(hidden_RD, head_CD.t(), at::kFloat);
  return product_transposed(hidden_RD.to(wide(hidden_RD)), head_CD.to(wide(hidden_RD)));
}

// Column of each target inside a chunk of ids (0 where it lies elsewhere), and 1 where it lies inside, both
// [R, 1].
struct Hits {
  Hits(const at::Tensor& targets_R, Piece ids, at::ScalarType type) {
    const at::Tensor local = targets_R - ids.begin;
    const at::Tensor inside = local.ge(0).logical_and_(local.lt(ids.size));
    column_R1 = local.mul(inside).unsqueeze(1);
    inside_R1 = inside.to(type).unsqueeze(1);
  }
  at::Tensor column_R1, inside_R1;
};

struct RowStatistics {
  at::Tensor target_R, logsumexp_R, mean_R;  // mean_R: the expected logit, only for the entropy
};

// Each chunk of ids yields its log-sum-exp and expected logit; the chunks are joined in order at the end.
RowStatistics row_statistics(const at::Tensor& hidden_RD, const at::Tensor& head_WD,
                             const at::Tensor& targets_R, const std::vector<Piece>& ids, bool with_mean) {
  tensor_list sums, means;
  at::Tensor target_R1;
  for (const Piece& piece : ids) {
    at::Tensor logits_RC = chunk_logits(hidden_RD, part(head_WD, piece));
    const Hits hits(targets_R, piece, logits_RC.scalar_type());
    const at::Tensor chosen_R1 = logits_RC.gather(1, hits.column_R1).mul_(hits.inside_R1);
    target_R1 = target_R1.defined() ? target_R1 + chosen_R1 : chosen_R1;
    const at::Tensor top_R1 = logits_RC.amax(1, true);
    const at::Tensor shifted_RC = with_mean ? logits_RC - top_R1 : logits_RC.sub_(top_R1);
    const at::Tensor weights_RC = with_mean ? shifted_RC.exp_() : logits_RC.exp_();
    const at::Tensor total_R1 = weights_RC.sum(1, true);
    sums.push_back(total_R1.log() + top_R1);
    if (with_mean) means.push_back(logits_RC.mul_(weights_RC).sum(1, true).div_(total_R1));
  }
  const at::Tensor parts_RK = at::cat(sums, 1);
  RowStatistics result{target_R1.squeeze(1), parts_RK.logsumexp(1), at::Tensor()};
  if (with_mean)
    result.mean_R = (parts_RK - result.logsumexp_R.unsqueeze(1)).exp_().mul_(at::cat(means, 1)).sum(1);
  return result;
}

// d loss / d logits [R, C] = (dlogsumexp - dlogprob) * p, plus dlogprob at the target.
at::Tensor logits_gradient(at::Tensor logits_RC, const at::Tensor& logsumexp_R, const at::Tensor& dlogprob_R,
                           const at::Tensor& dlogsumexp_R, const Hits& hits) {
  logits_RC.sub_(logsumexp_R.unsqueeze(1)).exp_().mul_((dlogsumexp_R - dlogprob_R).unsqueeze(1));
  return logits_RC.scatter_add_(1, hits.column_R1, hits.inside_R1 * dlogprob_R.unsqueeze(1));
}

struct ChunkedLogprobs : torch::autograd::Function<ChunkedLogprobs> {
  static tensor_list forward(AutogradContext* context, const at::Tensor& hidden_ND, const at::Tensor& head_WD,
                             const at::Tensor& targets_N, bool with_entropy) {
    const Chunks chunks(hidden_ND.size(0), head_WD.size(0));
    const auto make = [&] {
      return at::empty({hidden_ND.size(0)}, hidden_ND.options().dtype(wide(hidden_ND)));
    };
    const at::Tensor logprobs_N = make(), logsumexp_N = make(), entropy_N = make();
    for (const Piece& rows : chunks.rows) {
      const RowStatistics row =
          row_statistics(part(hidden_ND, rows), head_WD, part(targets_N, rows), chunks.ids, with_entropy);
      part(logprobs_N, rows).copy_(row.target_R - row.logsumexp_R);
      part(logsumexp_N, rows).copy_(row.logsumexp_R);
      if (with_entropy) part(entropy_N, rows).copy_(row.logsumexp_R - row.mean_R);
    }
    context->save_for_backward({hidden_ND, head_WD, targets_N, logsumexp_N});
    context->mark_non_differentiable({entropy_N});
    return {logprobs_N, logsumexp_N, entropy_N};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &hidden_ND = saved[0], &head_WD = saved[1], &targets_N = saved[2],
                     &logsumexp_N = saved[3];
    const Chunks chunks(hidden_ND.size(0), head_WD.size(0));
    const at::ScalarType type = wide(hidden_ND);
    at::Tensor dhidden_ND = at::zeros(hidden_ND.sizes(), hidden_ND.options().dtype(wide(hidden_ND)));
    const bool trains_head = context->needs_input_grad(1);
    at::Tensor dhead_WD;
    if (trains_head) dhead_WD = at::empty(head_WD.sizes(), head_WD.options());
    for (const Piece& ids : chunks.ids) {
      const at::Tensor head_CD = part(head_WD, ids);
      at::Tensor dhead_CD;
      if (trains_head) dhead_CD = at::zeros(head_CD.sizes(), head_CD.options().dtype(type));
      for (const Piece& rows : chunks.rows) {
        const at::Tensor hidden_RD = part(hidden_ND, rows);
        const at::Tensor dlogits_RC =
            logits_gradient(chunk_logits(hidden_RD, head_CD), part(logsumexp_N, rows), part(grads[0], rows),
                            part(grads[1], rows), Hits(part(targets_N, rows), ids, type));
        part(dhidden_ND, rows).add_(product_transposed(dlogits_RC, head_CD.to(type).t()));
        if (trains_head) dhead_CD.add_(product_transposed(hidden_RD.to(type).t(), dlogits_RC.t()).t());
      }
      if (trains_head) part(dhead_WD, ids).copy_(dhead_CD);
    }
    return {dhidden_ND.to(hidden_ND.scalar_type()), dhead_WD, at::Tensor(), at::Tensor()};
  }
};

std::tuple<at::Tensor, at::Tensor, at::Tensor> logprobs_op(const at::Tensor& hidden, const at::Tensor& head,
                                                           const at::Tensor& targets, bool with_entropy) {
  const MaskedLogprobs found = masked_token_logprobs(hidden, head, targets, with_entropy);
  return {found.logprobs_N, found.logsumexp_N,
          with_entropy ? found.entropy_N : at::empty({0}, found.logsumexp_N.options())};
}

}  // namespace

/// Made of its autograd function on every device.
TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "masked_token_logprobs(Tensor hidden, Tensor head, Tensor targets, bool with_entropy=False) -> (Tensor "
      "logprobs, "
      "Tensor logsumexp, Tensor entropy)",
      logprobs_op);
}

MaskedLogprobs masked_token_logprobs(const at::Tensor& hidden_ND, const at::Tensor& head_WD,
                                     const at::Tensor& targets_N, bool with_entropy) {
  MMADA_CHECK(hidden_ND.dim() == 2 && head_WD.dim() == 2 && hidden_ND.size(1) == head_WD.size(1) &&
                  head_WD.size(0) > 0 && hidden_ND.scalar_type() == head_WD.scalar_type(),
              "masked_token_logprobs: found hidden ", hidden_ND.sizes(), " of ", hidden_ND.scalar_type(),
              " and head ", head_WD.sizes(), " of ", head_WD.scalar_type(),
              ", expected [N, D] and [W, D] of one type");
  MMADA_CHECK(
      targets_N.dim() == 1 && targets_N.size(0) == hidden_ND.size(0) && targets_N.scalar_type() == at::kLong,
      "masked_token_logprobs: found targets ", targets_N.sizes(), " of ", targets_N.scalar_type(),
      ", expected int64 [", hidden_ND.size(0), "]");
  if (targets_N.numel() > 0 && !targets_N.is_meta()) {
    const auto range = at::aminmax(targets_N);
    const int64_t low = std::get<0>(range).item<int64_t>(), high = std::get<1>(range).item<int64_t>();
    MMADA_CHECK(low >= 0 && high < head_WD.size(0), "masked_token_logprobs: found targets from ", low, " to ",
                high, ", expected 0 to ", head_WD.size(0) - 1);
  }
  const tensor_list result = ChunkedLogprobs::apply(hidden_ND, head_WD, targets_N, with_entropy);
  return {result[0], result[1], with_entropy ? result[2] : at::Tensor()};
}

}  // namespace mmada
