# SPDX-License-Identifier: MIT
"""Timing of single calls, and what a time comes to: GB/s, TFLOP/s, share of what this device reaches in this run."""
import dataclasses
import statistics
import time
from typing import Callable

import torch


@dataclasses.dataclass
class Bar:
    """What the project wants of an H100. Kinds: "tflops" and "share" (of the roof) at least, "ms" and "reads" at most: reads are
    multiples of the time it takes to read the operands once."""

    kind: str
    value: float

    def __str__(self):
        return {"tflops": f">= {self.value:g} TFLOP/s", "share": f">= {self.value:.0%} of copy", "ms": f"<= {self.value:g} ms",
                "reads": f"<= {self.value:g} x reading"}[self.kind]


@dataclasses.dataclass
class Case:
    name: str
    ours: Callable[[], object]
    rivals: dict[str, Callable[[], object]]
    bytes: int = 0  # moved at least; decides the unit where there are no flops
    flops: int = 0
    bar: Bar | None = None


class Timer:
    """The median over `repeats` calls, each after everything in the caches has been overwritten.

    On a GPU the overwriting also hides the time that Python takes to launch the call: both are queued behind one another.
    """

    def __init__(self, device, repeats, flush_bytes):
        self.cuda = device.type == "cuda"
        self.repeats = repeats
        self.flush = torch.zeros(flush_bytes // 4, dtype=torch.int32, device=device)

    def once(self, call):
        self.flush.add_(1)
        if not self.cuda:
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3

    def seconds(self, call):
        for _ in range(min(3, self.repeats)):
            self.once(call)
        return statistics.median(self.once(call) for _ in range(self.repeats))


@dataclasses.dataclass
class Roofs:
    """Measured in this run: bytes per second of a large copy (read and written both counted), FLOP/s of a large product."""

    copy: float
    product: float

    @staticmethod
    def of(timer, device, dtype, elements, size):
        a, b = (torch.randn(elements, device=device).to(dtype) for _ in range(2))
        x, y = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        copy = 2 * a.nbytes / timer.seconds(lambda: b.copy_(a))
        return Roofs(copy, 2 * size**3 / timer.seconds(lambda: x @ y))


def rate(case, seconds, roofs):
    """(text, share of the roof)."""
    if case.flops:
        return f"{case.flops / seconds / 1e12:.1f} TFLOP/s", case.flops / seconds / roofs.product
    return f"{case.bytes / seconds / 1e9:.0f} GB/s", case.bytes / seconds / roofs.copy


def meets(case, seconds, roofs):
    """Whether the time reaches the case's bar; None without one."""
    if case.bar is None:
        return None
    reached = {
        "tflops": case.flops / seconds / 1e12 >= case.bar.value,
        "share": case.bytes / seconds / roofs.copy >= case.bar.value,
        "ms": seconds * 1e3 <= case.bar.value,
        "reads": seconds <= case.bar.value * case.bytes / roofs.copy,
    }
    return reached[case.bar.kind]
