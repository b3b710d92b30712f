# SPDX-License-Identifier: MIT
"""Pictures are resized, cropped and padded to the bytes that Pillow and torchvision's arithmetic give; torch's resizing agrees."""

import os
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

PROBE = os.environ["MMADA_RESIZE_PROBE"]

SIZES = [  # (width, height) from and to: up, down, both, strips, odd ratios
    ((64, 64), (32, 32)), ((32, 32), (64, 64)), ((61, 43), (97, 19)), ((97, 19), (61, 43)), ((1, 1), (5, 7)),
    ((5, 7), (1, 1)), ((300, 200), (16, 16)), ((16, 16), (300, 200)), ((255, 256), (256, 255)), ((33, 33), (33, 90)),
    ((33, 90), (33, 33)), ((90, 33), (33, 33)), ((640, 480), (512, 512)), ((100, 100), (100, 100)), ((1, 300), (300, 1)),
    ((300, 1), (1, 300)), ((2, 2), (3, 3)), ((3, 3), (2, 2)), ((127, 129), (64, 64)), ((250, 251), (249, 250)),
    ((71, 53), (284, 212)), ((284, 212), (71, 53)), ((1025, 33), (97, 97)), ((40, 1000), (64, 64)),
]


def resize(image, size):
    """Pillow's resize with the rows first. Pillow chose that order for every size when MMaDA was published; 13 takes the
    columns first where that is cheaper, which differs in the last place where overshoot is cut off between the passes."""
    return image.resize((size[0], image.size[1]), Image.BICUBIC).resize(size, Image.BICUBIC)


def picture(size, mode, seed=0):
    width, height = size
    rng = np.random.default_rng(seed + width * 1000 + height)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise[: height // 2, : width // 2] = 255 * rng.integers(0, 2, (height // 2, width // 2, 1))  # overshoot
    return Image.fromarray(noise).convert(mode)


def probe(jobs, tmp_path):
    """Every job (image, fit, height, width) answered by one run of the program."""
    lines = []
    for i, (image, fit, height, width) in enumerate(jobs):
        image.save(tmp_path / f"{i}.png")
        name = fit + ("-mask" if image.mode == "L" else "")
        lines.append(f"{tmp_path}/{i}.png {name} {height} {width} {tmp_path}/{i}.out.png")
    subprocess.run([PROBE], input="\n".join(lines).encode(), check=True)
    return [np.asarray(Image.open(tmp_path / f"{i}.out.png")) for i in range(len(jobs))]


def clip(image, size):
    """torchvision's Resize(size, BICUBIC) on the shorter side, then CenterCrop(size)."""
    short, long = sorted(image.size)
    scaled = int(size * long / short)
    image = resize(image, (size, scaled) if image.size[0] <= image.size[1] else (scaled, size))
    left, top = int(round((image.size[0] - size) / 2.0)), int(round((image.size[1] - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def pad(image, size):
    side = max(image.size)
    square = Image.new(image.mode, (side, side), 255 if image.mode == "L" else (255, 255, 255))
    square.paste(image, ((side - image.size[0]) // 2, (side - image.size[1]) // 2))
    return resize(square, (size, size))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_resize_equals_pillow(mode, tmp_path):
    images = [picture(source, mode) for source, _ in SIZES]
    found = probe([(image, "resize", h, w) for image, (_, (w, h)) in zip(images, SIZES)], tmp_path)
    for image, (source, target), pixels in zip(images, SIZES, found):
        assert np.array_equal(pixels, resize(image, target)), (source, target)


def test_resize_is_the_antialiased_bicubic_of_torch_up_to_its_rounding(tmp_path):
    """That of bytes keeps weights of fewer bits than Pillow's. Left out: a size whose side of 1 torch 2.11 takes for a wrong layout."""
    sizes = [size for size in SIZES if size != ((5, 7), (1, 1))]
    images = [picture(source, "RGB") for source, _ in sizes]
    found = probe([(image, "resize", h, w) for image, (_, (w, h)) in zip(images, sizes)], tmp_path)
    for image, (source, (width, height)), pixels in zip(images, sizes, found):
        planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous()
        answer = torch.nn.functional.interpolate(planes, size=(height, width), mode="bicubic", antialias=True)
        off = np.abs(answer[0].permute(1, 2, 0).numpy().astype(int) - pixels)
        assert (off == 0).mean() >= 0.99 and off.max() <= 2, (source, width, height)


def test_fits_equal_torchvision_and_pillow(tmp_path):
    sources = [(64, 64), (100, 67), (67, 100), (99, 67), (67, 99), (41, 300), (201, 55), (34, 35)]
    jobs, expected = [], []
    for image in (picture(source, "RGB") for source in sources):
        for size in (32, 33, 128):
            jobs += [(image, fit, size, size) for fit in ("clip", "pad", "squash")]
            expected += [clip(image, size), pad(image, size), resize(image, (size, size))]
    for job, pixels, image in zip(jobs, probe(jobs, tmp_path), expected):
        assert np.array_equal(pixels, image), (job[0].size, job[1:])


def test_other_aspects_are_covered_or_contained(tmp_path):
    for height, width in [(32, 64), (64, 32), (48, 80)]:
        other, exact = picture((90, 70), "RGB"), picture((2 * width, 2 * height), "RGB")
        fits = ("clip", "pad", "squash")
        found = probe([(image, fit, height, width) for image in (other, exact) for fit in fits], tmp_path)
        assert all(pixels.shape == (height, width, 3) for pixels in found)
        assert all(np.array_equal(pixels, resize(exact, (width, height))) for pixels in found[3:])
