# SPDX-License-Identifier: MIT
"""Pictures decode to the bytes that Pillow's convert("RGB") and convert("L") give."""

import io
import os
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PROBE = os.environ["MMADA_FORMATS_PROBE"]


def probe(kind, path):
    done = subprocess.run([PROBE, kind, path], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"", "the libraries must not print"
    head, pixels = done.stdout.split(b"\n", 1)
    width, height, channels = map(int, head.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, channels)


def picture(width=61, height=43):
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(3).integers(0, 24, (height, width, 3))
    rgb = np.stack([3 * x + y, 255 - 2 * y - x, (x - 30) ** 2 // 4 + (y - 20) ** 2 // 4], -1)
    return Image.fromarray(((rgb + noise) % 256).astype(np.uint8))


def alpha_of(image):
    return Image.fromarray(np.random.default_rng(4).integers(0, 256, image.size[::-1]).astype(np.uint8))


def with_alpha(image, mode):
    image = image.convert(mode[:-1])
    image.putalpha(alpha_of(image))
    assert image.mode == mode
    return image


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def adam7(image):
    """Pillow cannot write interlaced PNG: the seven passes by hand, filter 0."""
    rows = np.asarray(image)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in rows[y::dy, x::dx] if row.size)
    head = struct.pack(">IIBBBBB", image.width, image.height, 8, {"RGB": 2, "L": 0, "RGBA": 6}[image.mode], 0, 0, 1)
    data = zlib.compress(raw)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data[:50]) + chunk(b"IDAT", data[50:]) + chunk(b"IEND", b"")


def rgb16(image):
    rows = np.asarray(image).astype(np.uint16) * 257 - (np.arange(image.width) % 200)[None, :, None].astype(np.uint16)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def cases():
    rgb = picture()
    png = lambda image, **options: saved(image, "PNG", **options)
    jpeg = lambda image, **options: saved(image, "JPEG", **options)
    palette = rgb.quantize(200)
    yield "rgb.png", png(rgb)
    yield "grey.png", png(rgb.convert("L"))
    yield "grey_transparent.png", png(rgb.convert("L"), transparency=40)
    yield "rgb_transparent.png", png(rgb, transparency=(1, 2, 3))
    yield "bilevel.png", png(rgb.convert("1"))
    yield "palette.png", png(palette)
    yield "palette_4bit.png", png(rgb.quantize(13), bits=4)
    yield "palette_2bit.png", png(rgb.quantize(4), bits=2)
    yield "palette_1bit.png", png(rgb.quantize(2), bits=1)
    yield "palette_alpha.png", png(palette, transparency=bytes(range(200)))
    yield "rgba.png", png(with_alpha(rgb, "RGBA"))
    yield "la.png", png(with_alpha(rgb, "LA"))
    yield "interlaced_rgb.png", adam7(rgb)
    yield "interlaced_grey.png", adam7(rgb.convert("L"))
    yield "interlaced_rgba.png", adam7(with_alpha(rgb, "RGBA"))
    yield "interlaced_tiny.png", adam7(rgb.crop((0, 0, 3, 2)))
    yield "rgb16.png", rgb16(rgb)
    yield "gamma_and_text.png", png(rgb, gamma=0.3, dpi=(72, 72), pnginfo=png_text())
    for name, subsampling in ("444", 0), ("422", 1), ("420", 2):
        yield f"{name}.jpg", jpeg(rgb, quality=85, subsampling=subsampling)
        yield f"{name}_progressive.jpg", jpeg(rgb, quality=60, subsampling=subsampling, progressive=True)
    yield "odd_420.jpg", jpeg(rgb.crop((0, 0, 17, 9)), subsampling=2)
    yield "grey.jpg", jpeg(rgb.convert("L"))
    yield "rgb_colours.jpg", jpeg(rgb, keep_rgb=True)
    yield "cmyk.jpg", jpeg(rgb.convert("CMYK"), quality=90)
    yield "restarts.jpg", jpeg(rgb, restart_marker_blocks=2)
    yield "lossy.webp", saved(rgb, "WEBP", quality=70)
    yield "lossy_alpha.webp", saved(with_alpha(rgb, "RGBA"), "WEBP", quality=70)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossless_alpha.webp", saved(with_alpha(rgb, "RGBA"), "WEBP", lossless=True, exact=True)


def png_text():
    info = PngInfo()
    info.add_text("a", "b", zip=True)
    info.add_itxt("c", "d")
    return info


CASES = list(cases())


@pytest.mark.parametrize("name,data", CASES, ids=[name for name, _ in CASES])
def test_pixels_equal_pillows(name, data, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with Image.open(path) as image:
        rgb, grey = np.asarray(image.convert("RGB")), np.asarray(image.convert("RGB").convert("L"))
        native_grey = np.asarray(image.convert("L"))
    assert np.array_equal(probe("image", path), rgb)
    assert np.array_equal(probe("mask", path)[..., 0], grey)
    if not name.startswith("cmyk"):
        assert np.array_equal(grey, native_grey)


def test_16_bit_grey_is_its_high_byte_where_pillow_clips(tmp_path):
    values = np.random.default_rng(5).integers(0, 65536, (7, 9)).astype(np.uint16)
    path = tmp_path / "grey16.png"
    Image.fromarray(values).save(path)
    ours = probe("image", path)
    assert np.array_equal(ours, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1))
    with Image.open(path) as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image.convert("RGB"))[..., 0], np.minimum(values, 255)), "Pillow changed"


@pytest.mark.parametrize("data,part", [
    (saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)]), "animated WebP"),
    (saved(picture(), "GIF"), "expected a PNG, JPEG or WebP"),
    (saved(picture(), "TIFF"), "expected a PNG, JPEG or WebP"),
])
def test_other_formats_are_refused(data, part, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(data)
    done = subprocess.run([PROBE, "image", path], capture_output=True, text=True)
    assert done.returncode == 1
    assert str(path) in done.stderr and part in done.stderr and done.stderr.count("\n") == 1
