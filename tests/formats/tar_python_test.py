# SPDX-License-Identifier: MIT
"""Archives as Python's tarfile writes them, in every flavour, are read to the same files; damaged ones are refused by name."""
import gzip
import hashlib
import io
import os
import subprocess
import tarfile

import pytest

PROBE = os.environ["MMADA_FORMATS_PROBE"]
FILES = {"000.jpg": b"\xff\xd8" * 3000, "000.txt": b"a cat", "dir/\u65e5\u672c.txt": "\u732b".encode(), "dir/" + "long/" * 30 + "x.json": b"{}",
         "empty.txt": b"", "exact.bin": b"x" * 1024}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(path, files=FILES, format=tarfile.PAX_FORMAT, mode="w"):
    with tarfile.open(path, mode, format=format) as tar:
        for name, contents in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(contents), 1234567890.5
            tar.addfile(entry, io.BytesIO(contents))
    return path


def listed(path):
    return subprocess.run([PROBE, "tar", path], capture_output=True, env={**os.environ, "LC_ALL": "C"}, timeout=60)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", FORMATS)
def test_files_equal_those_of_tarfile(format, mode, tmp_path):
    done = listed(archive(tmp_path / "a.tar", FILES, FORMATS[format], mode))
    assert done.returncode == 0, done.stderr
    expected = [f"{hashlib.sha256(contents).hexdigest()} {name}" for name, contents in FILES.items()]
    assert done.stdout.decode().splitlines() == expected


@pytest.mark.parametrize("mode", ["w:bz2", "w:xz"])
def test_filters_that_are_not_switched_on_are_refused(mode, tmp_path):
    done = listed(archive(tmp_path / "a.tar", mode=mode))
    assert done.returncode == 1 and b"a.tar" in done.stderr and b"expected a complete tar archive" in done.stderr


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_cut_anywhere_is_refused_by_its_name(mode, tmp_path):
    contents = archive(tmp_path / "a.tar", mode=mode).read_bytes()
    end = len(contents.rstrip(b"\0")) if mode == "w" else len(contents) - 8  # zeros that fill the last record tell nothing
    for cut in range(1, end, max(1, end // 40)):
        (tmp_path / "cut.tar").write_bytes(contents[:cut])
        done = listed(tmp_path / "cut.tar")
        assert done.returncode == 1 and b"cut.tar" in done.stderr, cut


def packed(contents, part):
    """Gzipped in parts of so many bytes, which one file may hold one after another."""
    return b"".join(gzip.compress(contents[at:at + part], 1) for at in range(0, len(contents), part))


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_cut_before_it_was_gzipped_is_refused_wherever_it_was_cut(format, tmp_path):
    contents = archive(tmp_path / "a.tar", format=FORMATS[format]).read_bytes()
    end = len(contents.rstrip(b"\0"))
    end += -end % 512
    for cut in range(512, end + 1, 512):  # between any two blocks, behind headers that only prepare the next one too
        (tmp_path / "cut.tgz").write_bytes(packed(contents[:cut], 1 << 20))
        done = listed(tmp_path / "cut.tgz")
        assert done.returncode == 1 and b"cut.tgz" in done.stderr, cut


@pytest.mark.parametrize("part", [1, 100, 513, 70000])
def test_an_archive_gzipped_in_parts_of_any_size_is_read_to_its_end_mark(part, tmp_path):
    name = "short.txt" if part < 100 else "long/" * 30 + "x.txt"
    contents = archive(tmp_path / "a.tar", {name: b"x" * 100, "b.txt": b"b"}).read_bytes()
    whole, cut = contents[:len(contents.rstrip(b"\0")) // 512 * 512 + 1536], contents[:1024 if part < 100 else 2048]
    for bytes, status in ((whole, 0), (cut, 1)):
        (tmp_path / "a.tgz").write_bytes(packed(bytes, part))
        done = listed(tmp_path / "a.tgz")
        assert done.returncode == status, (part, done.stderr)
        assert status or len(done.stdout.splitlines()) == 2


def test_a_hundred_megabytes_of_zeros_in_a_small_file_are_refused_by_their_size(tmp_path):
    bomb = archive(tmp_path / "bomb.tgz", {"bomb.txt": bytes(100 << 20)}, mode="w:gz")
    assert bomb.stat().st_size < 1 << 20
    done = listed(bomb)
    assert done.returncode == 1 and b"104857600 bytes, expected at most" in done.stderr
