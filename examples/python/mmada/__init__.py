# SPDX-License-Identifier: MIT
"""The torch ops of MMaDA in C++, as Python functions.

Importing this package loads ``libmmada.so`` (and with it, where there is a CUDA driver, ``libmmada_cuda.so``), found through
the environment variable ``MMADA_LIBRARY`` or in a build folder above this file. Every function is a call of the op of its
name in ``torch.ops.mmada``; shapes use B rows, P queries, T tokens, H heads, G key heads, D widths, N positions.
"""
from mmada._library import library_path
from mmada.ops import (
    adamw_8bit_,
    add_rms_norm,
    attention,
    conv3x3,
    group_norm_silu,
    lfq_pack,
    lfq_unpack,
    masked_token_logprobs,
    packed_attention,
    remask_,
    rms_norm,
    rope,
    select_finish,
    select_statistics,
    swiglu,
)

__all__ = [
    "adamw_8bit_", "add_rms_norm", "attention", "conv3x3", "group_norm_silu", "lfq_pack", "lfq_unpack", "library_path",
    "masked_token_logprobs", "packed_attention", "remask_", "rms_norm", "rope", "select_finish", "select_statistics", "swiglu",
]
