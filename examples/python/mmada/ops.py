# SPDX-License-Identifier: MIT
"""One function for each op. What is wrong with an argument is a RuntimeError that names it, what was found and expected."""
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmada import _library  # noqa: F401  loads the ops

_ops = torch.ops.mmada


class AddedNorm(NamedTuple):
    sum: Tensor
    norm: Tensor


class Attention(NamedTuple):
    out: Tensor
    logsumexp: Tensor


class Logprobs(NamedTuple):
    logprobs: Tensor
    logsumexp: Tensor
    entropy: Tensor


class Selected(NamedTuple):
    ids: Tensor
    confidence: Tensor
    logsumexp: Tensor


def adamw_8bit_(weight: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_root: Tensor, exp_avg_scale: Tensor, exp_avg_root_scale: Tensor,
                learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0, step: int = 1) -> None:
    """A step of AdamW on fp32 weights with a byte for each moment, in place; step counts from 1.

    exp_avg and exp_avg_root: uint8, one for each weight, levels (the second of the second moment's root) times their block's largest;
    exp_avg_scale and exp_avg_root_scale: fp32, one for each 256 weights begun. All zero before the first step.
    """
    _ops.adamw_8bit_(weight, grad, exp_avg, exp_avg_root, exp_avg_scale, exp_avg_root_scale, learning_rate, beta1, beta2, epsilon, weight_decay, step)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """x * rsqrt(mean(x^2) + eps) in fp32, rounded to x's dtype, times weight. x [..., D], weight [D]; differentiable."""
    return _ops.rms_norm(x, weight, eps)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-5) -> AddedNorm:
    """x + residual and its rms_norm, in one pass."""
    return AddedNorm(*_ops.add_rms_norm(x, residual, weight, eps))


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up; differentiable."""
    return _ops.swiglu(gate, up)


def rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rotates q [..., T, H, D] and k [..., T, G, D] by halves; cos and sin fp32 [positions, D / 2].

    positions: int32, the table's row for every token; without them token t of a row has row t and the table T rows.
    """
    return tuple(_ops.rope(q, k, cos, sin, positions, False))


def attention(q: Tensor, k: Tensor, v: Tensor, key_spans: Tensor | None = None, bias_spans: Tensor | None = None,
              query_positions: Tensor | None = None) -> Attention:
    """softmax(q k^T / sqrt(D)) v, bidirectional; q [B, P, H, D], k and v [B, T, G, D]; differentiable.

    key_spans: int32 [B, groups, 2, 2], two spans [begin, end) of the keys that each of `groups` equal runs of queries sees; a
    query that sees none gets zeros. bias_spans: int32 [B, 2], +1 where query position and key both lie inside (SPEC 1.3).
    Returns out [B, P, H, D] and the log-sum-exp, fp32 [B, H, P], which has no gradient.
    """
    return Attention(*_ops.attention(q, k, v, key_spans, bias_spans, query_positions))


def packed_attention(q: Tensor, k: Tensor, v: Tensor, query_offsets: Tensor, key_offsets: Tensor, longest_query: int,
                     longest_key: int) -> Attention:
    """Attention within rows that lie behind one another without padding; q [N, H, D], k and v [M, G, D]; differentiable.

    Offsets: int32 [B + 1], row b holds tokens [offsets[b], offsets[b + 1]); a row of queries sees the keys of its own number. The
    longest bound the rows' lengths. Returns out [N, H, D] and the log-sum-exp, fp32 [H, N], which has no gradient.
    """
    return Attention(*_ops.packed_attention(q, k, v, query_offsets, key_offsets, longest_query, longest_key))


def masked_token_logprobs(hidden: Tensor, head: Tensor, targets: Tensor, with_entropy: bool = False) -> Logprobs:
    """log p of targets [N] under softmax(hidden [N, D] @ head [W, D]^T), fp32, in chunks of the vocabulary; differentiable.

    The entropy is empty unless asked for, and has no gradient.
    """
    return Logprobs(*_ops.masked_token_logprobs(hidden, head, targets, with_entropy))


def select_statistics(logits: Tensor, uncond: Tensor | None = None, banned_bits: Tensor | None = None,
                      noise: Tensor | None = None, token_key: Tensor | None = None, *, first_id: int = 0, temperature: float = 0.0,
                      guidance: float = 0.0, difference_form: bool = True) -> Tensor:
    """States, int32 [N, S, 8], of a chunk of logits [N, C] that begins at vocabulary id first_id; join chunks along S.

    uncond: the unconditional logits of guided rows, mixed as u + (1 + guidance)(c - u), or (1 + guidance) c - guidance u
    without difference_form. banned_bits: int32 words, bit id % 32 of word id // 32. noise: int32 [3, N], positions, step
    counters and streams, which with token_key, one int64, determine the Gumbel noise of every id; temperature > 0 needs both.
    The key is read when the kernel runs: another number written into it is another seed, in a captured CUDA graph too.
    """
    return _ops.select_statistics(logits, uncond, banned_bits, noise, token_key, first_id, temperature, guidance, difference_form)


def select_finish(states: Tensor, noise: Tensor | None = None,
                  confidence: Literal["probability", "margin", "neg_entropy", "random"] = "probability",
                  random_key: Tensor | None = None) -> Selected:
    """The chosen ids (int32), their confidence and the log-sum-exp (fp32) of every row; random_key: one int64, for "random"."""
    return Selected(*_ops.select_finish(states, noise, confidence, random_key))


def remask_(tokens: Tensor, steps_done: Tensor, done: Tensor, rule: Literal["count", "threshold", "factor", "maskgit"],
            begins: Tensor, proposals: Tensor, confidence: Tensor, *, steps: int, mask_id: int, threshold: float = 0.0,
            counts: Tensor | None = None, temperatures: Tensor | None = None, streams: Tensor | None = None,
            noise_key: Tensor | None = None, active: Tensor | None = None, commit_steps: Tensor | None = None) -> None:
    """One commit step of every row, in place: the chosen proposals [B, R] replace mask_id in tokens [B, T] from begins [B] on.

    count: the counts[b, step] most confident; threshold: all at least so confident, and the best in any case; factor: the n best
    with (n + 1)(1 - n-th confidence) < threshold; maskgit: all but the counts[b, step] lowest log p + temperature * Gumbel. Ints
    are int32, but for noise_key, one int64; steps_done grows by one, done (uint8) is set where no candidate is left or the steps are over.
    """
    _ops.remask_(tokens, steps_done, done, commit_steps, rule, begins, proposals, confidence, steps, mask_id, threshold, counts,
                 temperatures, streams, noise_key, active)


def group_norm_silu(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float = 1e-6) -> Tensor:
    """silu(group_norm(x)) of x [B, C, H, W]; differentiable."""
    return _ops.group_norm_silu(x, weight, bias, groups, eps)


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution with stride 1 and padding 1 of x [B, C, H, W]."""
    return _ops.conv3x3(x, weight, bias)


def lfq_pack(latent: Tensor) -> Tensor:
    """Codes [B, h, w] of a latent [B, bits, h, w]: bit 1 where it is above 0, channel 0 the most significant."""
    return _ops.lfq_pack(latent)


def lfq_unpack(codes: Tensor, bits: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The latent of -1 and 1 of codes [B, h, w]."""
    return _ops.lfq_unpack(codes, bits, dtype)
