# SPDX-License-Identifier: MIT
"""Whether answers in LaTeX are the same by computer algebra (math-verify): sets, intervals, roots, expressions. serve_reward.py serves
it to the math reward ("verify": true), which decides on numbers and fractions itself."""
import signal

from math_verify import parse, verify

SECONDS = 5.0  # of this process's own time for one pair: some would take forever, and a busy machine is no reason to give up


class OutOfTime(BaseException):
    """No Exception, which the algebra would catch."""


def out_of_time(number, frame):
    raise OutOfTime


signal.signal(signal.SIGPROF, out_of_time)


def same(found, reference):
    """1.0, 0.0, or None where the time did not suffice to say. What cannot be parsed equals nothing."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return float(verify(parse(reference, parsing_timeout=None), parse(found, parsing_timeout=None), timeout_seconds=None))
    except OutOfTime:
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def equal(prompts, completions, answer, **columns):
    return [same(c, a) for c, a in zip(completions, answer, strict=True)]
