# SPDX-License-Identifier: MIT
"""What the compiler made of the kernels in libmmada_cuda.so, for every GPU it was built for. No GPU needed."""
import os
import sys

import pytest

sys.path.insert(0, os.environ["MMADA_BENCHMARKS"])
import cubins  # noqa: E402

LIBRARY = os.environ["MMADA_CUDA_LIBRARY"]
PRODUCTS = {"forward_kernel": 2, "key_gradient_kernel": 4, "query_gradient_kernel": 3}  # of tiles, in one step over the keys
POINTWISE = ("apply_kernel", "rms_norm_kernel", "rope_kernel", "swiglu_backward_kernel", "swiglu_kernel")


@pytest.fixture(scope="module", params=cubins.ARCHITECTURES)
def kernels(request):
    found = cubins.instructions(LIBRARY, request.param)
    assert len(found) > 60, sorted(found)
    return found


def count(opcodes, *beginnings):
    return sum(n for opcode, n in opcodes.items() if opcode.startswith(beginnings))


def test_no_kernel_touches_local_memory(kernels):
    for kernel, opcodes in kernels.items():
        assert count(opcodes, "LDL", "STL") == 0, kernel


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("arguments", ["bf16, 64", "bf16, 128", "fp16, 64", "fp16, 128"])
def test_attention_multiplies_on_tensor_cores_from_copies_of_16_bytes(kernels, name, arguments):
    opcodes = kernels[next(k for k in kernels if (k.name, k.arguments) == (name, arguments))]
    products, loads = count(opcodes, "HMMA.16816.F32"), count(opcodes, "LDSM.16.M")
    # at least one step of 16 along the width (or keys) of every product of the warp's 16 rows, at most the whole unrolled
    assert 8 * PRODUCTS[name] <= products <= 512
    assert loads >= products / 4 and count(opcodes, "LDSM.16.MT") > 0
    assert count(opcodes, "LDGSTS.E.BYPASS.128") >= 5 and count(opcodes, "LDGSTS") == count(opcodes, "LDGSTS.E.BYPASS.128")
    assert opcodes["LDGDEPBAR"] >= 2 and opcodes["STG.E.128"] > 0
    assert count(opcodes, "ATOM", "RED.") == 0  # gradients are the same bits on every run


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_kernels_move_16_bytes_at_once(kernels, name):
    for arguments in ("bf16, 8", "fp16, 8", "fp32, 4"):
        opcodes = kernels[next(k for k in kernels if (k.name, k.arguments) == (name, arguments))]
        assert opcodes["LDG.E.128"] + opcodes["LDG.E.128.CONSTANT"] > 0 and opcodes["STG.E.128"] > 0, (name, arguments)
        assert opcodes["LDG.E.U16"] == opcodes["STG.E.U16"] == 0, (name, arguments)


def test_there_is_no_wgmma_yet(kernels):
    """An entry that uses it has to be checked for serialised products, too (the compiler's notes C75xx, tests/run.sh)."""
    assert all(count(opcodes, "HGMMA", "WARPGROUP") == 0 for opcodes in kernels.values())


def test_the_resources_table_lists_every_kernel_and_no_spill():
    import resources

    rows = list(resources.rows(LIBRARY, cubins.ARCHITECTURES))
    assert len(rows) > 180
    assert not [line for line, spills in rows if spills]
