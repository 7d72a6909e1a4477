"""Parts of a test that are told apart: cold items, new users, activity, behavior (METHODS M33)."""

from typing import Final

import numpy as np

from mmrec.evaluation.interactions import BoolArray, IntArray
from mmrec.evaluation.task import Targets

FEW_EVENTS: Final = 5
"""Users with fewer events in their history are new ones; items with fewer are rare."""
NUM_DECILES: Final = 10


def strata(targets: Targets, *, events_I: IntArray, behavior_names: tuple[str, ...]) -> dict[str, BoolArray]:
    """Name -> which positives belong to it, shape (P,); strata without any are left out.

    Args:
        events_I: Events per item that the fit saw.
    """
    lengths_N = targets.histories.lengths_N
    length_P, events_P = lengths_N[targets.targets_P], events_I[targets.items_P]
    found = {
        "item_cold": events_P == 0,
        "item_rare": (events_P > 0) & (events_P < FEW_EVENTS),
        "item_other": events_P >= FEW_EVENTS,
        "user_new": length_P < FEW_EVENTS,
        "user_other": length_P >= FEW_EVENTS,
    }
    for number, (low, high) in enumerate(_deciles(lengths_N), start=1):
        found[f"activity_{number:02d}_{low}_to_{high}"] = (length_P >= low) & (length_P <= high)
    if len(behavior_names) > 1:
        found |= {f"behavior_{name}": targets.behaviors_P == row for row, name in enumerate(behavior_names)}
    return {name: kept_P for name, kept_P in found.items() if kept_P.any()}


def _deciles(lengths_N: IntArray) -> list[tuple[int, int]]:
    """Lengths of histories from and to, both counted in, of tenths of the targets; fewer where many are equal."""
    edges = np.unique(np.quantile(lengths_N, np.linspace(0, 1, NUM_DECILES + 1)[1:], method="lower")).tolist()
    lows = [int(lengths_N.min()), *(int(edge) + 1 for edge in edges[:-1])]
    return [(low, int(high)) for low, high in zip(lows, edges, strict=True)]
