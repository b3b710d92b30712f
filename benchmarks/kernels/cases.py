# SPDX-License-Identifier: MIT
"""Every kernel beside its rivals, at MMaDA-8B's shapes or at tiny ones."""
import dataclasses
import math

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch.nn.attention import SDPBackend, sdpa_kernel

import mmada
from measure import Bar, Case


@dataclasses.dataclass(frozen=True)
class Shapes:
    heads: int = 32
    head_dim: int = 128
    lengths: tuple[int, ...] = (1024, 2048)
    tokens: int = 8192  # of attention and the pointwise kernels, over all rows
    block: int = 128  # decoded against cached keys
    width: int = 4096
    hidden: int = 12288
    vocabulary: int = 134656
    rows: int = 1024  # of selection
    head_rows: int = 2048
    chunk: int = 8192  # of the vocabulary
    picture: tuple[int, ...] = (1, 128, 512, 512)
    groups: int = 32


TINY = Shapes(heads=2, head_dim=64, lengths=(16, 32), tokens=64, block=8, width=64, hidden=96, vocabulary=1000, rows=8, head_rows=8,
              chunk=256, picture=(1, 64, 8, 8))


class Maker:
    """Random operands on the device."""

    def __init__(self, device, dtype):
        self.device, self.dtype = device, dtype
        self.generator = torch.Generator(device).manual_seed(1)

    def __call__(self, *shape, grad=False):
        x = torch.randn(*shape, device=self.device, generator=self.generator)
        return x.to(self.dtype).requires_grad_(grad)


def sdpa(backend, q, k, v, mask=None):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, mask)


def backward_of(forward, inputs):
    """The gradient alone: the forward pass runs once, now."""
    out = forward()
    grad = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)


def later(make):
    """A call whose preparation may fail: that failure belongs to the measurement, not to the list of cases."""
    made = []

    def call():
        if not made:
            made.append(make())
        return made[0]()

    return call


def attention_cases(make, s):
    for length in s.lengths:
        rows = max(1, s.tokens // length)
        q, k, v = (make(rows, length, s.heads, s.head_dim, grad=True) for _ in range(3))
        with torch.no_grad():
            spans = torch.zeros(rows, 1, 2, 2, dtype=torch.int32, device=make.device)
            spans[:, 0, 0, 1] = length
            mask = torch.ones(rows, 1, length, length, dtype=torch.bool, device=make.device)
        flops = 4 * rows * s.heads * length**2 * s.head_dim
        largest = length == s.lengths[-1]
        backends = {"SDPA cuDNN": (SDPBackend.CUDNN_ATTENTION, None), "SDPA flash": (SDPBackend.FLASH_ATTENTION, None),
                    "SDPA mem-efficient, masked": (SDPBackend.EFFICIENT_ATTENTION, mask)}

        def forward(call):
            return torch.no_grad()(call)

        def theirs(backend, q=q, k=k, v=v):
            return lambda: sdpa(backend[0], q, k, v, backend[1])

        def ours(q=q, k=k, v=v, spans=spans):
            return mmada.attention(q, k, v, spans).out

        shape = f"{rows} x {length} x {s.heads} x {s.head_dim}"
        yield Case(f"attention forward, {shape}", forward(ours), {n: forward(theirs(b)) for n, b in backends.items()}, flops=flops,
                   bar=Bar("tflops", 330) if largest else None)
        yield Case(f"attention backward, {shape}", later(lambda ours=ours, x=(q, k, v): backward_of(ours, x)),
                   {n: later(lambda b=b, x=(q, k, v): backward_of(theirs(b), x)) for n, b in backends.items()},
                   flops=flops * 5 // 2, bar=Bar("tflops", 200) if largest else None)
    q, k, v = make(1, s.block, s.heads, s.head_dim), *(make(1, s.lengths[-1], s.heads, s.head_dim) for _ in range(2))
    yield Case(f"attention, {s.block} queries against {s.lengths[-1]} keys", lambda: mmada.attention(q, k, v).out,
               {n: (lambda b=b: sdpa(b, q, k, v)) for n, b in (("SDPA cuDNN", SDPBackend.CUDNN_ATTENTION), ("SDPA flash", SDPBackend.FLASH_ATTENTION))},
               bytes=2 * (q.nbytes + k.nbytes))


def eager_norm(x, weight, eps=1e-5):
    y = x.float()
    return (y * (y.square().mean(-1, True) + eps).rsqrt()).to(x.dtype) * weight


def eager_rope(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def pointwise_cases(make, s):
    bar = Bar("share", 0.85)
    x, residual, weight = make(s.tokens, s.width), make(s.tokens, s.width), make(s.width)
    size = x.nbytes
    yield Case(f"RMSNorm, {s.tokens} x {s.width}", lambda: mmada.rms_norm(x, weight),
               {"eager": lambda: eager_norm(x, weight), "F.rms_norm": lambda: F.rms_norm(x, (s.width,), weight, 1e-5)}, 2 * size, bar=bar)
    yield Case(f"RMSNorm after adding the residual, {s.tokens} x {s.width}", lambda: mmada.add_rms_norm(x, residual, weight),
               {"eager": lambda: eager_norm(x + residual, weight)}, 4 * size, bar=bar)
    grad_x, grad_weight, dout = make(s.tokens, s.width, grad=True), make(s.width, grad=True), make(s.tokens, s.width)
    inputs = (grad_x, grad_weight)
    yield Case(f"RMSNorm backward, {s.tokens} x {s.width}", later(lambda: backward_of(lambda: mmada.rms_norm(*inputs), inputs)),
               {"eager": later(lambda: backward_of(lambda: eager_norm(*inputs), inputs))}, 3 * size)
    q, k = (make(1, s.tokens, s.heads, s.head_dim) for _ in range(2))
    angles = torch.outer(torch.arange(s.tokens), 500000.0 ** (-torch.arange(s.head_dim // 2) / (s.head_dim // 2))).to(make.device)
    cos, sin = angles.cos(), angles.sin()
    wide = [t[None, :, None] for t in (cos, sin)]
    yield Case(f"RoPE of q and k, {s.tokens} x {s.heads} x {s.head_dim}", lambda: mmada.rope(q, k, cos, sin),
               {"eager": lambda: (eager_rope(q, *wide), eager_rope(k, *wide))}, 4 * q.nbytes, bar=bar)
    gate, up, dout = (make(s.tokens, s.hidden) for _ in range(3))
    yield Case(f"SwiGLU, {s.tokens} x {s.hidden}", lambda: mmada.swiglu(gate, up), {"eager": lambda: F.silu(gate) * up}, 3 * gate.nbytes, bar=bar)
    inputs = [t.detach().clone().requires_grad_() for t in (gate, up)]
    yield Case(f"SwiGLU backward, {s.tokens} x {s.hidden}", lambda: torch.ops.mmada.swiglu_backward(dout, gate, up),
               {"eager": later(lambda: backward_of(lambda: F.silu(inputs[0]) * inputs[1], inputs))}, 5 * gate.nbytes)


def optimizer_cases(make, s):
    count = s.width * s.hidden
    weight, grad = (make(count).float() for _ in range(2))
    codes = [torch.zeros(count, dtype=torch.uint8, device=make.device) for _ in range(2)]
    scales = [torch.zeros((count + 255) // 256, device=make.device) for _ in range(2)]
    moments, step = [torch.zeros_like(weight) for _ in range(2)], torch.ones((), device=make.device)
    yield Case(f"AdamW with moments in 8 bits, {count} weights", lambda: mmada.adamw_8bit_(weight, grad, *codes, *scales, learning_rate=1e-6),
               {"fused AdamW, 32 bits": lambda: torch._fused_adamw_([weight], [grad], [moments[0]], [moments[1]], [], [step], lr=1e-6, beta1=0.9,
                                                                   beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)},
               count * 16)


def picture_cases(make, s):
    channels = s.picture[1]
    x, weight, bias = make(*s.picture).contiguous(memory_format=torch.channels_last), make(channels).float(), make(channels).float()
    yield Case(f"GroupNorm + SiLU, {' x '.join(map(str, s.picture))}", lambda: mmada.group_norm_silu(x, weight, bias, s.groups),
               {"eager": lambda: F.silu(F.group_norm(x.float(), s.groups, weight, bias, 1e-6)).to(x.dtype)}, 3 * x.nbytes)
    latent = make(64, 13, 32, 32)
    powers = 2 ** torch.arange(12, -1, -1, device=make.device)
    yield Case("LFQ codes, 64 x 13 x 32 x 32", lambda: mmada.lfq_pack(latent),
               {"eager": lambda: ((latent > 0).long() * powers[None, :, None, None]).sum(1)}, latent.nbytes + 8 * 64 * 32 * 32)


def reference_choice(logits, temperature):
    """The published sampler: fp64 softmax, Gumbel noise over it, the chosen token's probability."""
    x = logits.double()
    p = x.softmax(-1)
    noisy = x.exp() / (-torch.rand_like(x).log()) ** temperature if temperature > 0 else x
    ids = noisy.argmax(-1)
    return ids, p.gather(-1, ids[:, None])


def selection_cases(make, s):
    logits = make(s.rows, s.vocabulary)
    noise = torch.arange(3 * s.rows, dtype=torch.int32, device=make.device).view(3, s.rows)
    key = torch.zeros(1, dtype=torch.int64, device=make.device)
    for temperature in (0.0, 1.0):
        def ours(temperature=temperature):
            return mmada.select_finish(mmada.select_statistics(logits, noise=noise, token_key=key, temperature=temperature), noise)

        yield Case(f"selection, {s.rows} x {s.vocabulary}, temperature {temperature:g}", ours,
                   {"eager fp64": lambda temperature=temperature: reference_choice(logits, temperature)}, logits.nbytes, bar=Bar("reads", 2))
    tokens = torch.full((8, s.rows), 9, dtype=torch.int32, device=make.device)
    proposals = torch.zeros(8, s.rows, dtype=torch.int32, device=make.device)
    confidence = torch.rand(8, s.rows, device=make.device)
    begins, steps, done = (torch.zeros(8, dtype=t, device=make.device) for t in (torch.int32, torch.int32, torch.uint8))
    counts = torch.full((8, 1), s.rows // 4, dtype=torch.int32, device=make.device)

    def remask():
        tokens.fill_(9), steps.zero_()
        mmada.remask_(tokens, steps, done, "count", begins, proposals, confidence, steps=1, mask_id=9, counts=counts)

    def eager_remask():
        tokens.fill_(9), steps.zero_()
        best = confidence.masked_fill(tokens != 9, -math.inf).topk(s.rows // 4, -1).indices
        tokens.scatter_(1, best, proposals.gather(1, best))

    yield Case(f"commit of a quarter, 8 rows of {s.rows}", remask, {"topk and scatter": eager_remask}, 3 * tokens.nbytes)


def head_cases(make, s):
    hidden, head = make(s.head_rows, s.width), make(s.vocabulary, s.width) / math.sqrt(s.width)
    head, flops = head.detach(), 2 * s.head_rows * s.width * s.vocabulary
    targets = torch.randint(s.vocabulary, (s.head_rows,), device=make.device)
    chunks = [(begin, head[begin : begin + s.chunk]) for begin in range(0, s.vocabulary, s.chunk)]

    def statistics():
        states = [mmada.select_statistics(hidden @ part.T, first_id=begin) for begin, part in chunks]
        return mmada.select_finish(torch.cat(states, 1))

    def chunked_cross_entropy(hidden, head):
        """Rows in chunks, so that no [rows, vocabulary] buffer exists at once; recomputed in the backward pass."""
        part = max(1, s.head_rows // 8)
        loss = [torch.utils.checkpoint.checkpoint(lambda h, w, t: F.cross_entropy((h @ w.T).float(), t, reduction="none"), h, head, t,
                                                  use_reentrant=False) for h, t in zip(hidden.split(part), targets.split(part))]
        return torch.cat(loss)

    shape = f"{s.head_rows} x {s.width} x {s.vocabulary}"
    products = {"the products alone": lambda: [hidden @ part.T for _, part in chunks]}
    yield Case(f"head statistics, {shape}", statistics, {**products, "eager fp64": lambda: reference_choice(hidden @ head.T, 0.0)},
               flops=flops, bar=Bar("ms", 3.5))
    yield Case(f"masked_token_logprobs, {shape}", lambda: mmada.masked_token_logprobs(hidden, head, targets),
               {"chunked cross-entropy": torch.no_grad()(lambda: chunked_cross_entropy(hidden, head))}, flops=flops)
    h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()

    def both(loss):
        return lambda: torch.autograd.grad(loss(h, w).float().sum(), (h, w))

    yield Case(f"masked_token_logprobs forward and backward, {shape}", both(lambda h, w: mmada.masked_token_logprobs(h, w, targets).logprobs),
               {"chunked cross-entropy": both(chunked_cross_entropy)}, flops=4 * flops)


ALL = (attention_cases, pointwise_cases, optimizer_cases, picture_cases, selection_cases, head_cases)
