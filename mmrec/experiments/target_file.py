"""Targets of a run as one file: with the places of its cells it is all that metrics and strata are made of."""

from pathlib import Path
from typing import Final

import numpy as np

from mmrec.disk.files import replacing
from mmrec.errors import NotFoundError
from mmrec.evaluation.interactions import Histories
from mmrec.evaluation.task import Targets

TARGETS: Final = "targets.npz"


def write_targets(folder: Path, targets: Targets, *, key: str) -> None:
    """Write the file into the folder of a run, with the run's key."""
    histories = targets.histories
    with replacing(folder / TARGETS) as file:
        np.savez_compressed(
            file,
            key=np.array(key),
            users=targets.users_N,
            offsets=targets.offsets,
            items=targets.items_P,
            grades=targets.grades_P,
            behaviors=targets.behaviors_P,
            is_new=targets.is_new_P,
            as_of=histories.as_of_N,
            history_offsets=histories.offsets,
            history_items=histories.items_H,
            history_times=histories.times_H,
            history_behaviors=histories.behaviors_H,
        )


def read_targets(folder: Path) -> tuple[Targets, str]:
    """Targets and the key of their run; NotFoundError where the folder is none of a run."""
    path = folder / TARGETS
    if not path.is_file():
        raise NotFoundError(f"no {TARGETS} in {folder}; give the folder of a run, as `mmrec evaluate --out` names it")
    with np.load(path) as arrays:
        histories = Histories(
            offsets=arrays["history_offsets"],
            items_H=arrays["history_items"],
            times_H=arrays["history_times"],
            behaviors_H=arrays["history_behaviors"],
            as_of_N=arrays["as_of"],
        )
        targets = Targets(
            users_N=arrays["users"],
            histories=histories,
            offsets=arrays["offsets"],
            items_P=arrays["items"],
            grades_P=arrays["grades"],
            behaviors_P=arrays["behaviors"],
            is_new_P=arrays["is_new"],
        )
        return targets, str(arrays["key"]) if "key" in arrays.files else ""


def is_same(one: Targets, other: Targets) -> bool:
    """Whether the same is asked of the same users at the same instants."""
    pairs = (
        (one.users_N, other.users_N),
        (one.offsets, other.offsets),
        (one.items_P, other.items_P),
        (one.histories.as_of_N, other.histories.as_of_N),
    )
    return all(np.array_equal(a, b) for a, b in pairs)
