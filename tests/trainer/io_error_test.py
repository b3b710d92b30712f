# SPDX-License-Identifier: MIT
"""Whatever system call of a save fails, and however: the checkpoint before loads, and the failure is one message with path, bytes and
reason, and status 74.

MMADA_FULL=1: every error at every call."""
import os
import re
import resource
import shutil
import subprocess

import pytest

from fault_injection import FULL, acknowledged, calls_of_saves, command, fresh, nothing_is_lost, sample, steps_visible, traced

ERRORS = {"openat": ["EMFILE", "EIO", "ENOSPC"], "write": ["ENOSPC", "EIO", "EDQUOT"], "fsync": ["EIO", "ENOSPC", "EDQUOT"],
          "close": ["EIO"], "rename": ["EIO", "ENOSPC"], "renameat2": ["EIO", "ENOSPC"], "mkdir": ["ENOSPC", "EDQUOT", "EIO"],
          "unlink": ["EIO"], "unlinkat": ["EIO"], "rmdir": ["EIO"]}
REASONS = {"EMFILE": "Too many open files", "EIO": "Input/output error", "ENOSPC": "No space left on device", "EDQUOT": "Disk quota exceeded"}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    run = tmp_path_factory.mktemp("errors") / "before"
    assert subprocess.run(command(run, 1), capture_output=True).returncode == 0
    return run


@pytest.fixture(scope="module")
def calls(before, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    return calls_of_saves(fresh(before, folder / "run"), folder / "log")


def outcome_of(before, call, error, tmp_path):
    """"went on", "ended", or what is wrong with how the run took the error."""
    run = fresh(before, tmp_path / "run")
    done = traced(command(run, 3), tmp_path / "log", f"{call.name}:error={error}:when={call.number}")
    nothing_is_lost(run, done)
    if done.returncode == 0:  # only what was read, or what nobody can see any more, may fail unnoticed
        harmless = call.name in ("close", "rmdir", "unlinkat") or "O_DIRECTORY" in call.text
        return "went on" if harmless and acknowledged(done.stdout) == [2, 3] else f"unnoticed: {call} {error}"
    told = [str(run), REASONS[error], "about 10", "bytes"]
    one_message = len(done.stderr.splitlines()) == 1 and all(part in done.stderr for part in told)
    return "ended" if done.returncode == 74 and one_message else f"status {done.returncode}: {call} {error}: {done.stderr}"


def test_an_error_of_any_call_keeps_the_checkpoint_before(before, calls, tmp_path):
    failures = [(call, error) for call in calls for error in ERRORS.get(call.name, [])]
    outcomes = [outcome_of(before, call, error, tmp_path) for call, error in sample(failures, 16)]
    faults = [outcome for outcome in outcomes if outcome not in ("went on", "ended")]
    assert not faults, "\n".join(faults)
    assert outcomes.count("ended") > len(outcomes) // 2
    print(f"errors of system calls: {len(outcomes)}, of them {outcomes.count('ended')} ended a run with status 74, 0 checkpoints lost")


def test_an_interrupted_write_is_taken_up_again(before, calls, tmp_path):
    writes = [call for call in calls if call.name == "write"]
    for call in sample(writes, 2):
        run = fresh(before, tmp_path / "run")
        done = traced(command(run, 3), tmp_path / "log", f"write:error=EINTR:when={call.number}")
        assert done.returncode == 0 and steps_visible(run) == [2, 3], (call, done)


SHORT_WRITES = r"""
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
static int count;
ssize_t write(int file, const void* data, size_t bytes) {
  if (file > 2 && bytes > 1) {
    ++count;
    bytes = (bytes + 1) / 2;
  }
  return syscall(SYS_write, file, data, bytes);
}
__attribute__((destructor)) static void tell(void) { fprintf(stderr, "%d short writes\n", count); }
"""


def test_short_writes_are_taken_up_until_all_is_written(before, tmp_path):
    """Every write of more than a byte writes half of it: strace can only claim so, which a library that is loaded first makes true."""
    if not shutil.which("cc"):
        pytest.skip("this machine has no C compiler")
    library = tmp_path / "short_writes.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", library], input=SHORT_WRITES, text=True, check=True)
    run = fresh(before, tmp_path / "run")
    loaded = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run(command(run, 3), capture_output=True, text=True, timeout=120, env=loaded)
    assert done.returncode == 0 and steps_visible(run) == [2, 3], done
    count = int(re.search(r"^(\d+) short writes$", done.stderr, re.M)[1])
    assert count > 50, done  # each of two saves writes a handful of files, by halves


def test_a_save_that_cannot_fit_is_refused_before_it_begins(tmp_path):
    """A file system of 4 MB in a mount namespace of the command's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    elements = 150_000  # two tensors of 0.6 MB: with the megabyte that is kept free a third checkpoint has no room
    inside = " ".join(f"'{part}'" for part in command(disk / "run", 9, 0, elements))
    script = f"mount -t tmpfs -o size=4m tmpfs '{disk}' && {{ {inside}; echo status $?; cp -r '{disk}/run' '{tmp_path}/kept'; }}"
    try:
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this machine has no unshare")
    if "status" not in done.stdout:
        pytest.skip("this machine allows no mount namespaces")
    assert "status 74" in done.stdout and "bytes free" in done.stderr and f"{disk}/run" in done.stderr, done
    saved = acknowledged(done.stdout)
    assert saved and steps_visible(tmp_path / "kept", elements) == saved
    assert not list((tmp_path / "kept").glob(".tmp*"))


def test_a_limit_on_the_size_of_files_is_an_error_and_no_signal(before, tmp_path):
    run = fresh(before, tmp_path / "run")
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    done = subprocess.run(command(run, 3), capture_output=True, text=True, preexec_fn=small)
    assert done.returncode == 74 and "File too large" in done.stderr and "shard-0-of-1.safetensors" in done.stderr, done
    assert steps_visible(run) == [1]
