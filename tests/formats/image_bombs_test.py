# SPDX-License-Identifier: MIT
"""Small files that would cost much, and odd ones: an answer within 250 ms of CPU and 64 MB above the decoded picture."""

import os
import resource
import struct
import subprocess
import zlib

import pytest
from image_pillow_test import PROBE, adam7, chunk, picture, rgb16, saved

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def zeros(count, end=True):
    """The zlib stream of `count` zero bytes (`end`: with its last block), made of one packed block over and over."""
    block = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = packer.compress(bytes(count % block)) + packer.flush(zlib.Z_FINISH if end else zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + packed * (count // block) + last


def png(width, height, data, before=b"", after=b"", depth=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


def apng():
    """The still picture is the first frame; a second frame stands behind it."""
    frame = lambda number: chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 16, 16, 0, 0, 1, 10, 0, 0))
    rows = zlib.compress((b"\0" + bytes(range(48))) * 16)
    return png(16, 16, rows, before=chunk(b"acTL", struct.pack(">II", 2, 0)) + frame(0),
               after=frame(1) + chunk(b"fdAT", struct.pack(">I", 2) + rows))


def progressive_jpeg(side):
    """23 bytes: a header and an empty scan."""
    return bytes.fromhex("ffd8ffc2000b08") + struct.pack(">HH", side, side) + bytes.fromhex("01011100ffda0008010100003f00")


TEXT = b"\0\0\0\5tEXtk\0abc" + struct.pack(">I", zlib.crc32(b"tEXtk\0abc"))
INFLATING_TEXT = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20), 9))
INFLATING_PROFILE = chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(100 << 20), 9))
ROWS_1000 = 1000 * 3001
# name: file, whether it is a picture
FILES = {
    "progressive_15000.jpg": (progressive_jpeg(15000), False),
    "progressive_8000.jpg": (progressive_jpeg(8000), False),
    "png_20000.png": (png(20000, 20000, zeros(20000 * 60001)), False),
    "png_8000_of_nothing.png": (png(8000, 8000, zlib.compress(b"")), False),
    "png_16_with_900_megabytes.png": (png(16, 16, zeros(900 << 20)), False),
    # as much compressed as is let through, six gigabytes behind the last row
    "png_1000_with_six_gigabytes.png": (png(1000, 1000, zeros(ROWS_1000 + (6 << 30))), False),
    "png_1000_with_five_megabytes_packed.png": (png(1000, 1000, (zeros(ROWS_1000, end=False) + zeros(5 << 30)[2:])[:2 * ROWS_1000]), True),
    "png_chunk_of_553_megabytes.png": (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) +
                                       struct.pack(">I", 553648145) + b"IDAT" + bytes(33), False),
    "png_100000.png": (png(100000, 100000, zlib.compress(b"")), False),
    "png_0x4.png": (png(0, 4, zlib.compress(b"")), False),
    "png_4x0.png": (png(4, 0, zlib.compress(b"")), False),
    "png_1x1.png": (png(1, 1, zlib.compress(b"\0rgb")), True),
    "jpeg_1x1.jpg": (saved(picture(1, 1), "JPEG"), True),
    "webp_1x1.webp": (saved(picture(1, 1), "WEBP"), True),
    "rgb16.png": (rgb16(picture()), True),
    "cmyk.jpg": (saved(picture().convert("CMYK"), "JPEG"), True),
    "interlaced.png": (adam7(picture()), True),
    "apng.png": (apng(), True),
    "texts_before.png": (png(1, 1, zlib.compress(b"\0rgb"), before=TEXT * 100000), True),
    "texts_behind.png": (png(1, 1, zlib.compress(b"\0rgb"), after=TEXT * 100000), True),
    "inflating_texts.png": (png(1, 1, zlib.compress(b"\0rgb"), before=INFLATING_TEXT * 1000), True),
    "inflating_profile.png": (png(1, 1, zlib.compress(b"\0rgb"), before=INFLATING_PROFILE), True),
}


@pytest.mark.parametrize("name", FILES)
def test_an_answer_costs_little(name, tmp_path):
    data, is_picture = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([PROBE, "image", path], capture_output=True, env=os.environ | {"MMADA_PROBE_PEAK": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *messages, peak = done.stderr.decode().splitlines()
    if is_picture:
        assert done.returncode == 0 and messages == [], messages
    else:
        assert done.returncode == 1 and len(messages) == 1 and str(path) in messages[0], messages
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.25
    assert int(peak) * 1024 < len(done.stdout) + len(data) + (64 << 20)
