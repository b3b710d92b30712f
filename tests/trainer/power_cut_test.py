# SPDX-License-Identifier: MIT
"""A power cut, as far as a file system can tell: checkpoints are saved to ext4 on a loop device whose image is copied, unsynced, at
random moments; what the copy holds is what a disk would. No acknowledged checkpoint is lost, no half one shows.

MMADA_FULL=1: 100 cuts, and 25 of a writer whose fsync does nothing, which has to lose some."""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from fault_injection import FULL, command, steps_visible

IMAGE_MB = 24


def in_namespace(script):
    """Mounts vanish with the command."""
    return ["unshare", "-m", "sh", "-c", script]


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    image = folder / "image"
    image.write_bytes(bytes(IMAGE_MB << 20))
    try:
        made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True)
        mounted = subprocess.run(in_namespace(f"mount -o loop '{image}' '{folder}'"), capture_output=True)
    except FileNotFoundError:
        pytest.skip("this machine has no mkfs.ext4 or unshare")
    if made.returncode or mounted.returncode:
        pytest.skip("this machine mounts no images of disks")
    return image


def cut(blank, folder, after, strace=""):
    """Saves until the power goes; the acknowledged step and a copy of what the disk then holds."""
    image, disk, copy, kept = (folder / name for name in ("image", "disk", "copy", "kept"))
    shutil.copy(blank, image)
    disk.mkdir(exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    writer = " ".join(f"'{part}'" for part in command(disk / "run", 100000))
    script = f"mount -o loop '{image}' '{disk}' && exec {strace} {writer}"
    process = subprocess.Popen(in_namespace(script), stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"loaded 0\n"
    first = process.stdout.readline()
    time.sleep(after)
    os.killpg(process.pid, signal.SIGSTOP)  # copying takes a moment, in which a running writer would go on
    shutil.copy(image, copy)
    os.killpg(process.pid, signal.SIGKILL)  # strace's death alone would leave the writer running
    told = (first + process.communicate()[0]).decode()
    look = subprocess.run(in_namespace(f"mount -o loop '{copy}' '{disk}' && cp -r '{disk}/run' '{kept}'"), capture_output=True, text=True)
    return max(map(int, re.findall(r"saved (\d+)", told))), look, kept


def outcome(step, look, kept):
    """"kept", "lost" or "half"."""
    if look.returncode:
        return "lost"
    try:
        visible = steps_visible(kept)
    except (AssertionError, OSError, ValueError):
        return "half"
    return "kept" if visible and visible[-1] >= step else "lost"


def test_a_power_cut_loses_no_acknowledged_checkpoint(blank, tmp_path):
    moments = random.Random(23)
    outcomes = [outcome(*cut(blank, tmp_path, moments.uniform(0, 0.4))) for _ in range(100 if FULL else 3)]
    print(f"power cuts: {len(outcomes)}, lost {outcomes.count('lost')}, half {outcomes.count('half')}")
    assert set(outcomes) == {"kept"}


@pytest.mark.skipif(not FULL, reason="MMADA_FULL=1 alone")
def test_this_test_sees_a_writer_that_does_not_force_to_disk(blank, tmp_path):
    moments = random.Random(24)
    lazy = "strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:retval=0"
    outcomes = [outcome(*cut(blank, tmp_path, moments.uniform(0, 0.4), lazy)) for _ in range(25)]
    print(f"power cuts without fsync: {len(outcomes)}, lost {outcomes.count('lost')}, half {outcomes.count('half')}")
    assert outcomes.count("lost") + outcomes.count("half") > 12
