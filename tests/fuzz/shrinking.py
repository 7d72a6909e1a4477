"""Makes an input that shows a problem small: delta debugging over the bytes of its parts.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), with a bound on trials.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.fuzz.door import Fuzzed

MAX_TRIALS: Final = 120


def shrunk(fuzzed: Fuzzed, shows: Callable[[Fuzzed], bool], *, max_trials: int = MAX_TRIALS) -> Fuzzed:
    """A smaller input of which `shows` still holds; the same one where nothing can be left out."""
    left = max_trials
    if not shows(fuzzed):
        return fuzzed
    for index in range(len(fuzzed.parts)):
        pieces = 2
        while (part := fuzzed.parts[index]) and left > 0:
            step = max(1, len(part) // pieces)
            smaller = None
            for start in range(0, len(part), step):
                left -= 1
                if left <= 0:
                    break
                tried = _with_part(fuzzed, index, part[:start] + part[start + step :])
                if shows(tried):
                    smaller = tried
                    break
            if smaller is not None:
                fuzzed, pieces = smaller, max(2, pieces - 1)
            elif step == 1:
                break
            else:
                pieces = min(len(part), pieces * 2)
    return fuzzed


def _with_part(fuzzed: Fuzzed, index: int, part: bytes) -> Fuzzed:
    return replace(fuzzed, parts=(*fuzzed.parts[:index], part, *fuzzed.parts[index + 1 :]))
