# SPDX-License-Identifier: MIT
"""Every op through the Python package: against plain PyTorch, gradients too, and torch.library.opcheck."""
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import mmada

TESTS = ("test_schema", "test_autograd_registration", "test_faketensor")
OPS = torch.ops.mmada


def devices():
    missing = not torch.cuda.is_available() and os.environ.get("MMADA_REQUIRE_GPU") != "1"
    return ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(missing, reason="no GPU"))]


@pytest.fixture(autouse=True, params=devices())
def device(request):
    """Where every tensor of the test lies, and the same draws in every run."""
    torch.manual_seed(7)
    with torch.device(request.param):
        yield request.param


def normals(*shape, seed):
    """The same numbers on every device."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu").to(torch.get_default_device())


def leaf(*shape, seed=0, dtype=torch.float32):
    return normals(*shape, seed=seed).to(dtype).requires_grad_(True)


def check(op, plain, inputs, tolerance=2e-5):
    """Values and gradients of every output against the same in fp64."""
    exact = [x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x for x in inputs]
    found, expected = op(*inputs), plain(*exact)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance)
    weights = [normals(*b.shape, seed=9) for b in expected]
    leaves, exact_leaves = ([x for x in xs if x.requires_grad] for xs in (inputs, exact))
    gradients = torch.autograd.grad(sum((a * w).sum() for a, w in zip(found, weights) if a.requires_grad), leaves)
    plain_gradients = torch.autograd.grad(sum((b * w).sum() for a, b, w in zip(found, expected, weights) if a.requires_grad), exact_leaves)
    for a, b in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=10 * tolerance, atol=10 * tolerance)


def plain_norm(x, weight):
    return x * (x.square().mean(-1, True) + 1e-5).rsqrt() * weight


def test_rms_norm_and_the_fused_residual():
    x, residual, weight = leaf(3, 5, 48), leaf(3, 5, 48, seed=1), leaf(48, seed=2)
    check(lambda x, w: [mmada.rms_norm(x, w)], lambda x, w: [plain_norm(x, w)], [x, weight])
    check(lambda x, r, w: mmada.add_rms_norm(x, r, w), lambda x, r, w: [x + r, plain_norm(x + r, w)], [x, residual, weight])
    torch.library.opcheck(OPS.rms_norm.default, (x, weight, 1e-5), test_utils=TESTS)
    torch.library.opcheck(OPS.add_rms_norm.default, (x, residual, weight, 1e-5), test_utils=TESTS)


def test_adamw_with_8_bit_moments_follows_the_one_with_wide_moments():
    weight, state = normals(600, seed=1), [torch.zeros(600, dtype=torch.uint8) for _ in range(2)] + [torch.zeros(3) for _ in range(2)]
    exact = torch.nn.Parameter(weight.detach().clone())
    optimizer = torch.optim.AdamW([exact], lr=0.01, weight_decay=0.1)
    for step in range(1, 31):
        exact.grad = normals(600, seed=step + 1)
        mmada.adamw_8bit_(weight, exact.grad, *state, learning_rate=0.01, weight_decay=0.1, step=step)
        optimizer.step()
    # a block's levels lie within 1.3 % of one another at its top: steps of 0.01 differ by a few percent of that
    assert (weight - exact).abs().mean() < 0.1 * 0.01 * 30 ** 0.5
    assert (weight - exact).abs().max() < 0.01
    torch.library.opcheck(OPS.adamw_8bit_.default, (weight, exact.grad, *state, 0.01, 0.9, 0.999, 1e-8, 0.0, 1), test_utils=("test_schema", "test_faketensor"))


def test_swiglu():
    gate, up = leaf(4, 33), leaf(4, 33, seed=1)
    check(lambda g, u: [mmada.swiglu(g, u)], lambda g, u: [F.silu(g) * u], [gate, up])
    torch.library.opcheck(OPS.swiglu.default, (gate, up), test_utils=TESTS)


def plain_rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


@pytest.mark.parametrize("with_positions", [False, True])
def test_rope(with_positions):
    q, k = leaf(2, 7, 4, 16), leaf(2, 7, 2, 16, seed=1)
    rows = 20 if with_positions else 7
    angles = torch.outer(torch.arange(rows), 100.0 ** (-torch.arange(8) / 8))
    cos, sin = angles.cos(), angles.sin()
    positions = torch.randint(rows, (2, 7), dtype=torch.int32) if with_positions else None
    index = positions.long() if with_positions else torch.arange(7).expand(2, 7)

    def plain(q, k):
        return [plain_rope(x, cos[index].unsqueeze(2).double(), sin[index].unsqueeze(2).double()) for x in (q, k)]

    check(lambda q, k: mmada.rope(q, k, cos, sin, positions), plain, [q, k])
    torch.library.opcheck(OPS.rope.default, (q, k, cos, sin, positions, False), test_utils=TESTS)


def plain_attention(q, k, v, visible, bias):
    k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], 2) for x in (k, v))
    scores = torch.einsum("bphd,bthd->bhpt", q, k) / math.sqrt(q.shape[3]) + bias
    scores = scores.masked_fill(~visible, -torch.inf)
    p = torch.nan_to_num(torch.softmax(scores, -1))
    return torch.einsum("bhpt,bthd->bphd", p, v), scores.logsumexp(-1)


def test_attention_with_groups_of_queries_spans_and_bias():
    q, k, v = leaf(2, 6, 4, 8), leaf(2, 9, 2, 8, seed=1), leaf(2, 9, 2, 8, seed=2)
    spans = torch.tensor([[[[0, 4], [6, 9]], [[2, 9], [0, 0]], [[0, 0], [0, 0]]], [[[0, 9], [0, 0]]] * 3], dtype=torch.int32)
    bias_spans, positions = torch.tensor([[2, 7], [0, 9]], dtype=torch.int32), torch.arange(1, 7, dtype=torch.int32).repeat(2, 1)
    token, group = torch.arange(9), torch.arange(6) // 2
    begin, end = spans[:, group, :, 0, None], spans[:, group, :, 1, None]
    visible = ((token >= begin) & (token < end)).any(2).unsqueeze(1)
    inside = [(x >= bias_spans[:, :1]) & (x < bias_spans[:, 1:]) for x in (positions, token)]
    bias = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1).double()
    arguments = (spans, bias_spans, positions)
    found = mmada.attention(q, k, v, *arguments)
    assert torch.equal(found.out[0, 4:], torch.zeros(2, 4, 8)) and (found.logsumexp[0, :, 4:] == -torch.inf).all()
    finite = torch.where(visible.any(-1), 1.0, 0.0).expand(2, 4, 6)
    check(lambda q, k, v: [mmada.attention(q, k, v, *arguments).out, torch.nan_to_num(mmada.attention(q, k, v, *arguments).logsumexp, neginf=0)],
          lambda q, k, v: [(o := plain_attention(q, k, v, visible, bias))[0], torch.nan_to_num(o[1], neginf=0) * finite], [q, k, v])
    check(lambda q, k, v: [mmada.attention(q, k, v).out],
          lambda q, k, v: [plain_attention(q, k, v, torch.ones(1, dtype=torch.bool), 0.0)[0]], [q, k, v])
    torch.library.opcheck(OPS.attention.default, (q, k, v, *arguments), test_utils=("test_schema", "test_faketensor"))


def test_attention_of_packed_rows_some_of_them_empty():
    q, k, v = leaf(9, 4, 8), leaf(12, 2, 8, seed=1), leaf(12, 2, 8, seed=2)
    query_offsets, key_offsets = (torch.tensor(x, dtype=torch.int32) for x in ([0, 3, 3, 7, 9], [0, 5, 8, 12, 12]))
    rows = (query_offsets, key_offsets, 4, 5)
    row_of_query, row_of_key = (torch.bucketize(torch.arange(n), x[1:], right=True) for n, x in ((9, query_offsets), (12, key_offsets)))
    visible = (row_of_query[:, None] == row_of_key)[None, None]
    found = mmada.packed_attention(q, k, v, *rows)
    assert torch.equal(found.out[7:], torch.zeros(2, 4, 8)) and (found.logsumexp[:, 7:] == -torch.inf).all()

    def plain(q, k, v):
        out, logsumexp = plain_attention(q[None], k[None], v[None], visible, 0.0)
        return [out[0], torch.nan_to_num(logsumexp[0], neginf=0).detach()]

    def ours(q, k, v):
        found = mmada.packed_attention(q, k, v, *rows)
        return [found.out, torch.nan_to_num(found.logsumexp, neginf=0)]

    check(ours, plain, [q, k, v])
    torch.library.opcheck(OPS.packed_attention.default, (q, k, v, *rows), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head_dim", [64, 128])
def test_attention_in_16_bits_is_as_close_as_plain_attention(dtype, head_dim):
    q, k, v = (leaf(2, 70, 4, head_dim, seed=i, dtype=dtype) for i in range(3))
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    everything = torch.ones(1, dtype=torch.bool)
    dout = normals(2, 70, 4, head_dim, seed=5)
    results = []
    for inputs, op in (((q, k, v), lambda q, k, v: mmada.attention(q, k, v).out),
                       ((q, k, v), lambda q, k, v: plain_attention(q, k, v, everything, 0.0)[0]),
                       (exact, lambda q, k, v: plain_attention(q, k, v, everything, 0.0)[0])):
        out = op(*inputs)
        results.append([out, *torch.autograd.grad((out * dout).sum(), inputs)])
    for ours, eager, true in zip(*results, strict=True):
        rounding = torch.finfo(dtype).eps * true.abs().max()
        assert (ours - true).abs().max() <= 2 * (eager - true).abs().max() + rounding


def test_masked_token_logprobs():
    hidden, head, targets = leaf(9, 16), leaf(50, 16, seed=1), torch.randint(50, (9,))

    def plain(h, w, t):
        logits = h @ w.T
        return logits.log_softmax(-1).gather(1, t.unsqueeze(1)).squeeze(1), logits.logsumexp(-1)

    check(lambda h, w, t: mmada.masked_token_logprobs(h, w, t)[:2], plain, [hidden, head, targets])
    p = (hidden @ head.T).softmax(-1)
    torch.testing.assert_close(mmada.masked_token_logprobs(hidden, head, targets, True).entropy, -(p * p.log()).sum(-1).detach())
    torch.library.opcheck(OPS.masked_token_logprobs.default, (hidden, head, targets, False), test_utils=("test_schema",))


def test_selection_in_chunks_with_bans_guidance_and_noise():
    logits, uncond = 3 * torch.randn(5, 300), 3 * torch.randn(5, 300)
    words = torch.zeros(12, dtype=torch.int32)
    words[3] = 1 << 7  # id 103
    mixed = uncond + 2.5 * (logits - uncond)
    mixed[:, 103 - 40] = -torch.inf
    states = torch.cat([mmada.select_statistics(logits[:, a:b], uncond[:, a:b], words, first_id=40 + a, guidance=1.5)
                        for a, b in ((0, 128), (128, 300))], 1)
    found = mmada.select_finish(states)
    p = mixed.double().softmax(-1)
    assert torch.equal(found.ids.long(), mixed.argmax(-1) + 40)
    torch.testing.assert_close(found.confidence.double(), p.amax(-1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.logsumexp.double(), mixed.double().logsumexp(-1), rtol=1e-5, atol=1e-5)
    top = p.topk(2, -1).values
    torch.testing.assert_close(mmada.select_finish(states, confidence="margin").confidence.double(), top[:, 0] - top[:, 1], rtol=1e-4, atol=1e-6)
    noise = torch.stack([torch.arange(5), torch.full((5,), 3), torch.zeros(5)]).int()
    key = torch.tensor([77])
    arguments = (logits, None, None, noise, key, 0, 1.0, 0.0, True)
    noisy = mmada.select_finish(OPS.select_statistics(*arguments))
    alone = mmada.select_finish(OPS.select_statistics(logits[2:3], None, None, noise[:, 2:3].contiguous(), key, 0, 1.0, 0.0, True))
    assert noisy.ids[2] == alone.ids[0]
    torch.library.opcheck(OPS.select_statistics.default, arguments, test_utils=("test_schema", "test_faketensor"))
    torch.library.opcheck(OPS.select_finish.default, (states, None, "probability", None), test_utils=("test_schema", "test_faketensor"))


def test_noisy_choices_follow_the_softmax():
    p = torch.tensor([0.5, 0.25, 0.15, 0.1])
    rows = 20000
    noise = torch.stack([torch.arange(rows), torch.zeros(rows), torch.zeros(rows)]).int()
    ids = mmada.select_finish(mmada.select_statistics(p.log().repeat(rows, 1), noise=noise, token_key=torch.tensor(5), temperature=1.0)).ids
    counts = torch.bincount(ids.long(), minlength=4)
    assert ((counts - rows * p).abs() < 5 * (rows * p * (1 - p)).sqrt()).all()


def test_remask_commits_the_most_confident_masks_in_place():
    tokens = torch.tensor([[9, 5, 9, 9, 9, 9], [9, 9, 9, 9, 9, 5]], dtype=torch.int32)
    begins, steps_done = torch.tensor([1, 0], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32)
    proposals = torch.arange(10, 20, dtype=torch.int32).view(2, 5)
    confidence = torch.tensor([[0.9, 0.2, 0.7, 0.7, 0.1], [0.1, 0.3, 0.3, 0.2, float("nan")]])
    counts = torch.tensor([[2, 1], [3, 2]], dtype=torch.int32)
    done, commits = torch.zeros(2, dtype=torch.uint8), torch.full((2, 6), -1, dtype=torch.int32)
    arguments = dict(steps=2, mask_id=9, counts=counts, commit_steps=commits)
    mmada.remask_(tokens, steps_done, done, "count", begins, proposals, confidence, **arguments)
    # the first row's slot of 0.9 is no MASK; of equals the lower slot goes first
    assert tokens.tolist() == [[9, 5, 9, 12, 13, 9], [9, 16, 17, 9, 9, 5]]
    assert commits.tolist() == [[-1, -1, -1, 0, 0, -1], [-1, 1, 1, -1, -1, -1]]
    assert steps_done.tolist() == [1, 2] and done.tolist() == [0, 1]
    torch.library.opcheck(OPS.remask_.default, (tokens, torch.zeros(2, dtype=torch.int32), done, commits, "count", begins, proposals,
                                                confidence, 2, 9, 0.0, counts), test_utils=("test_schema", "test_faketensor"))
    with pytest.raises(RuntimeError, match="found a region from token 1 and step 2"):
        mmada.remask_(tokens, steps_done + 1, done, "count", begins, proposals, confidence, **arguments)
    with pytest.raises(RuntimeError, match='rule: found "best"'):
        mmada.remask_(tokens, steps_done * 0, done, "best", begins, proposals, confidence, **arguments)
    with pytest.raises(RuntimeError, match="counts: found"):
        mmada.remask_(tokens, steps_done * 0, done, "count", begins, proposals, confidence, **{**arguments, "counts": counts.long()})


def test_image_tokenizer_ops(device):
    x, weight, bias = leaf(2, 64, 5, 7), leaf(64, seed=1), leaf(64, seed=2)
    check(lambda x, w, b: [mmada.group_norm_silu(x, w, b, 32)], lambda x, w, b: [F.silu(F.group_norm(x, 32, w, b, 1e-6))], [x, weight, bias], 1e-4)
    torch.library.opcheck(OPS.group_norm_silu.default, (x, weight, bias, 32, 1e-6), test_utils=TESTS)
    if device == "cpu":  # elsewhere convolutions are PyTorch's
        kernel, offset = torch.randn(32, 64, 3, 3), torch.randn(32)
        torch.testing.assert_close(mmada.conv3x3(x.detach(), kernel, offset), F.conv2d(x.detach(), kernel, offset, padding=1), rtol=1e-4, atol=5e-4)
    codes = mmada.lfq_pack(torch.randn(2, 9, 4, 4))
    assert torch.equal(mmada.lfq_pack(mmada.lfq_unpack(codes, 9, torch.bfloat16)), codes)
    torch.library.opcheck(OPS.lfq_unpack.default, (codes, 9, torch.float32), test_utils=("test_schema", "test_faketensor"))


def test_another_number_in_a_key_is_another_seed():
    rows = 40
    noise = torch.stack([torch.arange(rows), torch.zeros(rows), torch.zeros(rows)]).int()
    logits, key = torch.zeros(rows, 64), torch.tensor([5])

    def draw(key):
        states = mmada.select_statistics(logits, noise=noise, token_key=key, temperature=1.0)
        return mmada.select_finish(states, noise, "random", key)

    first, other = draw(key), draw(torch.tensor([-6]))
    key.fill_(-6)
    again = draw(key)
    assert all(torch.equal(a, b) for a, b in zip(again, other))
    assert not torch.equal(again.ids, first.ids) and not torch.equal(again.confidence, first.confidence)


NOISE, STATES = torch.zeros(3, 2, dtype=torch.int32), torch.zeros(2, 1, 8, dtype=torch.int32)
REMASK = dict(tokens=torch.full((1, 2), 9, dtype=torch.int32), steps_done=torch.zeros(1, dtype=torch.int32), done=torch.zeros(1, dtype=torch.uint8),
              rule="maskgit", begins=torch.zeros(1, dtype=torch.int32), proposals=torch.zeros(1, 2, dtype=torch.int32),
              confidence=torch.ones(1, 2), steps=1, mask_id=9, counts=torch.ones(1, 1, dtype=torch.int32), temperatures=torch.ones(1),
              streams=torch.zeros(1, dtype=torch.int32))


@pytest.mark.parametrize("call, message", [
    (lambda: mmada.remask_(**REMASK), "noise_key: found none"),
    (lambda: mmada.remask_(**REMASK, noise_key=torch.tensor([1], dtype=torch.int32)), "noise_key: found Int"),
    (lambda: mmada.rms_norm(torch.ones(2, 4), torch.ones(5)), r"expected \[\.\.\., D\] and \[D\]"),
    (lambda: mmada.rms_norm(torch.ones(2, 4), torch.ones(4).bfloat16()), "of one type"),
    (lambda: mmada.add_rms_norm(torch.ones(2, 4), torch.ones(2, 5), torch.ones(4)), "residual: found"),
    (lambda: mmada.adamw_8bit_(torch.ones(2), torch.ones(2), *[torch.zeros(2, dtype=torch.uint8)] * 2, torch.zeros(2), torch.zeros(1), 0.1),
     r"exp_avg_scale: found Float \[2\].*expected 1 elements"),
    (lambda: mmada.swiglu(torch.ones(2), torch.ones(3)), "expected equal shapes"),
    (lambda: mmada.rope(torch.ones(3, 2, 8), torch.ones(3, 1, 8), torch.ones(4, 4), torch.ones(4, 4)), "3 tokens and a table of 4"),
    (lambda: mmada.rope(torch.ones(3, 2, 7), torch.ones(3, 1, 7), torch.ones(3, 3), torch.ones(3, 3)), "with D even"),
    (lambda: mmada.attention(torch.ones(1, 2, 3, 8), torch.ones(1, 2, 2, 8), torch.ones(1, 2, 2, 8)), "G dividing H"),
    (lambda: mmada.attention(*[torch.ones(1, 2, 2, 8)] * 3, torch.zeros(1, 2)), "key_spans: found"),
    (lambda: mmada.packed_attention(*[torch.ones(5, 2, 8)] * 3, *[torch.tensor([0, 5])] * 2, 5, 5), "query_offsets: found"),
    (lambda: mmada.select_statistics(torch.ones(2, 4), temperature=-1.0), "temperature: found -1"),
    (lambda: mmada.select_statistics(torch.ones(2, 4), temperature=1.0), "noise: found none"),
    (lambda: mmada.select_statistics(torch.ones(2, 4), noise=NOISE, temperature=1.0), "token_key: found none"),
    (lambda: mmada.select_statistics(torch.ones(2, 4), noise=NOISE, token_key=torch.tensor([1, 2]), temperature=1.0), r"token_key: found Long of shape \[2\]"),
    (lambda: mmada.select_finish(STATES, NOISE, "random"), "random_key: found none"),
    (lambda: mmada.select_finish(STATES, NOISE, "random", torch.tensor(1.0)), "random_key: found Float"),
    (lambda: mmada.select_statistics(torch.ones(2, 4), first_id=2**31 - 5), "within 31 bits"),
    (lambda: mmada.select_statistics(torch.ones(2, 4).double()), "expected fp32, bf16 or fp16"),
    (lambda: mmada.select_finish(torch.zeros(2, 1, 8, dtype=torch.int32), confidence="sure"), 'found "sure"'),
    (lambda: mmada.masked_token_logprobs(torch.ones(2, 4), torch.ones(9, 4), torch.tensor([0, 9])), "expected 0 to 8"),
])
def test_wrong_arguments_name_what_was_found_and_expected(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize("ends, longest_key, message", [([0, 2, 5], 2, r"row 1: found \[2, 5\)"), ([0, 2, 4], 3, "expected 0 to 5")])
def test_offsets_that_contradict_the_tokens_are_errors_where_the_host_sees_them(device, ends, longest_key, message):
    if device != "cpu":
        pytest.skip("on a GPU nobody looks")
    offsets = [torch.tensor(ends, dtype=torch.int32)] * 2
    with pytest.raises(RuntimeError, match=message):
        mmada.packed_attention(*[torch.ones(5, 2, 8)] * 3, *offsets, 3, longest_key)


def test_a_missing_library_is_one_clear_error(device):
    if device != "cpu":
        pytest.skip("the same on every machine")
    script = "import os; os.environ['MMADA_LIBRARY'] = '/nowhere/libmmada.so'; import mmada"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "MMADA_LIBRARY: found no file /nowhere/libmmada.so" in result.stderr
