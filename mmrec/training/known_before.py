"""What may stand in an example of a label: the one law against leakage, and the only place where it is written.

    known_time_s < label_time_s          equal is too late

The label time is the event time of the label: the instant at which serving would have answered. An event that happened
before but arrived after it is not known; serving would not have had it either.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def known_before(known_times: FloatArray, label_time_s: Any) -> npt.NDArray[np.bool_]:
    """Mask of what was known strictly before the label; shapes broadcast."""
    mask: npt.NDArray[np.bool_] = known_times < label_time_s
    return mask


def num_known_before(known_times: FloatArray, label_times_s: Any) -> Any:
    """How many of `known_times`, which ascend, were known strictly before each label time; shape of the latter."""
    return np.searchsorted(known_times, label_times_s, side="left")
