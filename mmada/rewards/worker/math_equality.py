# SPDX-License-Identifier: MIT
"""Whether answers in LaTeX are the same by computer algebra (math-verify): sets, intervals, roots, expressions. serve_reward.py serves
it to the math reward ("verify": true), which decides on numbers and fractions itself."""
from math_verify import parse, verify

SECONDS = 3  # for one step of algebra; a few answers would take forever


def equal(prompts, completions, answer, **columns):
    """1.0 or 0.0 for each completion; what cannot be parsed equals nothing."""
    return [float(verify(parse(a, parsing_timeout=SECONDS), parse(c, parsing_timeout=SECONDS), timeout_seconds=SECONDS))
            for c, a in zip(completions, answer, strict=True)]
