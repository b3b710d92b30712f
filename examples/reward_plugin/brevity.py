# SPDX-License-Identifier: MIT
"""An example of a reward: short answers that hold the reference."""


def brevity(prompts, completions, answer, **columns):
    return [None if not a else (a in c) * max(0.0, 1 - len(c) / 500) for c, a in zip(completions, answer)]
