# SPDX-License-Identifier: MIT
"""LPIPS equals the lpips package on random trunks and its learned heads, and examples/python/convert_lpips.py keeps the tensors."""
import os
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lpips
    import torchvision

PROBE = os.environ["MMADA_LPIPS_PROBE"]
SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "convert_lpips.py")
HEADS = os.path.join(os.path.dirname(lpips.__file__), "weights", "v0.1", "vgg.pth")


def convert(output, *sources):
    return subprocess.run([sys.executable, SCRIPT, str(output), *map(str, sources)], capture_output=True, text=True, check=False)


def probe(weights, image, other, tmp_path):
    save_file({"image": image, "other": other}, tmp_path / "input.safetensors")
    done = subprocess.run([PROBE, str(weights), str(tmp_path / "input.safetensors"), str(tmp_path / "output.safetensors")],
                          capture_output=True, text=True, check=False)
    return load_file(tmp_path / "output.safetensors") if done.returncode == 0 else done.stderr


def pictures(height, width, seed, rows=2):
    """Pairs from the very similar to the unrelated, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(rows, 3, height, width, generator=generator) * 2 - 1
    noise = torch.rand(rows, 3, height, width, generator=generator) * 2 - 1
    share = torch.linspace(0.05, 1, rows).view(-1, 1, 1, 1)
    return image, (1 - share) * image + share * noise


@pytest.fixture(scope="module")
def package():
    """The package's network in fp64: its own learned heads, a random trunk (no weights of VGG are shipped)."""
    torch.manual_seed(7)
    return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()


@pytest.fixture(scope="module")
def weights(package, tmp_path_factory):
    root = tmp_path_factory.mktemp("lpips")
    torch.save(package.state_dict(), root / "whole.pth")
    done = convert(root / "converted", root / "whole.pth")
    assert done.returncode == 0, done.stderr
    return root / "converted"


@pytest.mark.parametrize("height, width", [(32, 32), (16, 49), (67, 40)])
def test_distance_and_input_gradient_equal_the_package(package, weights, tmp_path, height, width):
    image, other = pictures(height, width, seed=height)
    found = probe(weights, image, other, tmp_path)
    exact = package.double()
    variable = image.double().requires_grad_(True)
    distance = exact(variable, other.double()).flatten()
    distance.sum().backward()
    assert distance.min() > 1e-4
    assert torch.allclose(found["distance"].double(), distance.detach(), rtol=1e-5, atol=0)
    scale = variable.grad.abs().max()
    assert (found["gradient"].double() - variable.grad).abs().max() < 1e-5 * scale


def test_equal_pictures_are_at_distance_zero_with_a_finite_gradient(weights, tmp_path):
    flat = torch.zeros(1, 3, 32, 32)
    found = probe(weights, flat, flat.clone(), tmp_path)
    assert found["distance"].item() == 0
    assert torch.equal(found["gradient"], torch.zeros_like(flat))


def test_trunk_and_heads_come_from_torchvision_and_lpips_files_too(package, weights, tmp_path):
    with torch.device("meta"):  # names and shapes as torchvision has them today
        trunk = torchvision.models.vgg16(weights=None).state_dict()
    ours = load_file(weights / "model.safetensors")
    for name, tensor in trunk.items():
        trunk[name] = ours[name].reshape(tensor.shape) if name.startswith("features.") else torch.zeros(1)
    torch.save(trunk, tmp_path / "vgg16.pth")
    assert convert(tmp_path / "both", tmp_path / "vgg16.pth", HEADS).returncode == 0
    both = load_file(tmp_path / "both" / "model.safetensors")
    assert both.keys() == ours.keys() and all(torch.equal(both[name], ours[name]) for name in ours)


def test_incomplete_and_foreign_sources_are_refused_by_name(weights, tmp_path):
    done = convert(tmp_path / "heads", HEADS)
    assert done.returncode == 1 and "26 tensors are missing: features.0.bias" in done.stderr
    torch.save({"features.1.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    done = convert(tmp_path / "odd", tmp_path / "odd.pth")
    assert done.returncode == 1 and "features.1.weight" in done.stderr and "odd.pth" in done.stderr
    assert "exists already" in convert(weights, HEADS).stderr
    assert not (tmp_path / "heads").exists() and not (tmp_path / "odd").exists()


def test_loading_names_what_is_missing_and_pictures_too_small_are_refused(weights, tmp_path):
    image, other = pictures(32, 32, seed=1)
    tensors = load_file(weights / "model.safetensors")
    del tensors["lin3.model.1.weight"]
    (tmp_path / "less").mkdir()
    save_file(tensors, tmp_path / "less" / "model.safetensors")
    assert "lin3.model.1.weight" in probe(tmp_path / "less", image, other, tmp_path)
    assert "at least 16 x 16" in probe(weights, *pictures(32, 15, seed=1), tmp_path)
