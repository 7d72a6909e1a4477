"""The equations of a feature row: assemble() compiles them for numbers, assemble_plainly() calls them with arrays.

Axes: B behaviors, H half-lives.
"""

from typing import Any, Final

from mmrec.scoring.decay import SECONDS_PER_DAY

HOUR_S: Final = 3_600.0
WEEK_S: Final = 7.0 * SECONDS_PER_DAY


def freshness(age_s: Any, unit_s: float) -> Any:
    """1 at age 0, a half after one unit; 0 for what never happened (an infinite age)."""
    return 1.0 / (1.0 + age_s / unit_s)


def order_share(place: Any) -> Any:
    """1 for the newest item (place 0), 1/2 for the one before: with sessions far apart, order says more than age."""
    return 1.0 / (1.0 + place)


def rates_half_life(num_half_lives: int) -> int:
    """Position of the half-life whose counts stand in a row: the second one, or the only one."""
    return min(1, num_half_lives - 1)
