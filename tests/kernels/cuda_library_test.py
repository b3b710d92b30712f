# SPDX-License-Identifier: MIT
"""Which libraries come along with libmmada.so, and that libmmada_cuda.so registers every CUDA kernel (no GPU needed)."""

import ctypes
import os
import subprocess
import sys

import pytest

LIBRARY = os.environ["MMADA_LIBRARY"]
CUDA_LIBRARY = os.environ.get("MMADA_CUDA_LIBRARY")


def has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_driver(), reason="there is a CUDA driver here")
def test_nothing_of_cuda_is_loaded_where_there_is_no_driver():
    script = f"import ctypes; ctypes.CDLL({LIBRARY!r}); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "libmmada.so" in maps and "libtorch_cpu" in maps
    for name in ("libmmada_cuda", "libtorch_cuda", "libc10_cuda", "libcublas", "libcudnn"):
        assert name not in maps, name


def test_the_ops_have_their_kernels():
    import torch

    torch.ops.load_library(LIBRARY)
    if CUDA_LIBRARY:
        torch.ops.load_library(CUDA_LIBRARY)
    keys = ["CPU", "Meta", *(["CUDA"] if CUDA_LIBRARY else [])]
    for op in ("adamw_8bit_", "attention", "group_norm_silu", "group_norm_silu.out", "lfq_pack", "lfq_unpack", "remask_", "rms_norm_backward",
               "rms_norm_forward", "rope", "select_finish", "select_statistics", "swiglu", "swiglu_backward"):
        for key in keys:
            assert torch._C._dispatch_has_kernel_for_dispatch_key("mmada::" + op, key), (op, key)
    for op in ("conv3x3", "conv3x3.out", "conv3x3_add_"):
        for key in ("CPU", "Meta"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key("mmada::" + op, key), (op, key)


def test_python_calls_the_ops():
    import torch

    torch.ops.load_library(LIBRARY)
    torch.manual_seed(7)
    x, w, b = torch.randn(2, 64, 5, 7), torch.randn(64), torch.randn(64)
    expected = torch.nn.functional.silu(torch.nn.functional.group_norm(x, 32, w, b, 1e-6))
    assert torch.allclose(torch.ops.mmada.group_norm_silu(x, w, b, 32, 1e-6), expected, atol=1e-5)
    assert torch.ops.mmada.group_norm_silu(x.to("meta"), w.to("meta"), b.to("meta"), 32, 1e-6).shape == x.shape
    for tensor in (x, w, b):
        tensor.requires_grad_(True)
    torch.ops.mmada.group_norm_silu(x, w, b, 32, 1e-6).square().sum().backward()
    gradients = [t.grad.clone() for t in (x, w, b)]
    for tensor in (x, w, b):
        tensor.grad = None
    torch.nn.functional.silu(torch.nn.functional.group_norm(x, 32, w, b, 1e-6)).square().sum().backward()
    for gradient, tensor in zip(gradients, (x, w, b)):
        assert torch.allclose(gradient, tensor.grad, rtol=1e-4, atol=1e-4)
    codes = torch.ops.mmada.lfq_pack(torch.randn(2, 9, 4, 4))
    assert torch.equal(torch.ops.mmada.lfq_pack(torch.ops.mmada.lfq_unpack(codes, 9, torch.bfloat16)), codes)
    weight, bias = torch.randn(32, 64, 3, 3), torch.randn(32)
    doubles = x.detach().double(), weight.double(), bias.double()
    expected = torch.nn.functional.conv2d(*doubles, padding=1)
    # rounding is in proportion to the terms that a tile of pixels sums, whatever their signs
    magnitude = torch.nn.functional.conv2d(*(tensor.abs() for tensor in doubles), padding=1).max()
    error = (torch.ops.mmada.conv3x3(x.detach(), weight, bias) - expected).abs().max()
    assert error <= 16 * torch.finfo(torch.float32).eps * magnitude
    with pytest.raises(RuntimeError, match="C in 24 equal groups"):
        torch.ops.mmada.group_norm_silu(x.detach(), w.detach(), b.detach(), 24, 1e-6)
