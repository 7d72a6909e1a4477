"""One pass over a model's scores: places of every positive among every kind of candidates.

    places = judge(model, task.test, candidates, seed=7)          the model is fitted
    places["full", "new"].positions_P                             what every metric is made of (measure.py)

Places are kept, so that metrics, strata, intervals and comparisons never fit or score again. Equal scores share their
places at random with a seed, by places_among(): where a target has one right item, a constant model hits k out of all
candidates (METHODS M35). Several share one list; measure.ranks_alone() takes each among the candidates alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np

from mmrec.evaluation.candidates import COLD, FULL, DrawnCandidates
from mmrec.evaluation.interactions import BoolArray, Float32Array, IntArray
from mmrec.evaluation.metrics import places_among
from mmrec.evaluation.model import Model
from mmrec.evaluation.task import SEEN_POLICIES, SeenPolicy, Targets

BATCH: Final = 256
"""Targets scored at a time."""
NOT_ASKED: Final = 0
LISTED: Final = 10
"""Items of a list that is kept."""

Kind = tuple[str, SeenPolicy]
"""Name of the candidates, and which items count."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Where positives stand in their lists."""

    positions_P: IntArray
    """1-based place in the list of candidates and positives; NOT_ASKED where a positive is none of this kind."""
    num_others_N: IntArray
    """Candidates of each target beside its positives."""
    lists_NK: IntArray | None = None
    """Items of each target's list among all items, best first; -1 where there are fewer. None of drawn candidates."""


def judge(
    model: Model,
    targets: Targets,
    drawn: Sequence[DrawnCandidates] = (),
    *,
    cold_I: BoolArray | None = None,
    seen: Sequence[SeenPolicy] = SEEN_POLICIES,
    seed: int,
    batch: int = BATCH,
) -> dict[Kind, Places]:
    """Places among all items, among drawn ones and among cold ones.

    Args:
        model: Fitted.
        drawn: Candidates of the same targets.
        cold_I: Items that the fit saw no event of; None leaves them out.
        seen: Policies to judge full and cold candidates by.
        seed: Of the order of equal scores; the same places whatever `batch` is.

    Raises:
        ValueError: scores are of another shape, or one is no finite number: the model must not be judged.
    """
    wide = [(FULL, policy) for policy in seen] + [(COLD, policy) for policy in seen if cold_I is not None]
    samples = {(each.name, each.seen): each.items_NM for each in drawn}
    kinds: list[Kind] = [*wide, *samples]
    generators = {kind: np.random.default_rng([seed, crc32(" ".join(kind).encode())]) for kind in kinds}
    found = {
        kind: Places(
            positions_P=np.full(len(targets.items_P), NOT_ASKED, dtype=np.int64),
            num_others_N=np.zeros(len(targets), dtype=np.int64),
            lists_NK=np.full((len(targets), LISTED), -1, dtype=np.int64) if kind[0] == FULL else None,
        )
        for kind in kinds
    }
    for start in range(0, len(targets), batch):
        stop = min(start + batch, len(targets))
        scores_BI = model.score(targets.users_N[start:stop], targets.histories.part(start, stop))
        _check(model, scores_BI, stop - start)
        for target in range(start, stop):
            scores_I = scores_BI[target - start]
            for kind in kinds:
                if (lists_NK := found[kind].lists_NK) is not None:
                    listed = _listed(scores_I, targets, target, kind)
                    lists_NK[target, : len(listed)] = listed
                asked = _asked(targets, target, kind, cold_I)
                if not len(asked):
                    continue
                others_C = (
                    scores_I[samples[kind][target]]
                    if kind in samples
                    else _others(scores_I, targets, target, kind, cold_I)
                )
                own_R = scores_I[targets.items_P[asked]]
                found[kind].positions_P[asked] = places_among(own_R, others_C, generator=generators[kind])
                found[kind].num_others_N[target] = len(others_C)
    return found


def _asked(targets: Targets, target: int, kind: Kind, cold_I: BoolArray | None) -> IntArray:
    """Positives of a target, by their place among all, that a kind asks about."""
    rows = np.arange(targets.offsets[target], targets.offsets[target + 1])
    if kind[1] == "new":
        rows = rows[targets.is_new_P[rows]]
    if kind[0] == COLD and cold_I is not None:
        rows = rows[cold_I[targets.items_P[rows]]]
    return rows


def _others(
    scores_I: Float32Array, targets: Targets, target: int, kind: Kind, cold_I: BoolArray | None
) -> Float32Array:
    """Scores of all candidates beside the positives."""
    kept_I = cold_I.copy() if kind[0] == COLD and cold_I is not None else np.ones(len(scores_I), dtype=np.bool_)
    kept_I[targets.items_P[targets.offsets[target] : targets.offsets[target + 1]]] = False
    if kind[1] == "new":
        low, high = targets.histories.offsets[target : target + 2]
        kept_I[targets.histories.items_H[low:high]] = False
    return scores_I[kept_I]


def _listed(scores_I: Float32Array, targets: Targets, target: int, kind: Kind) -> IntArray:
    """The best items, without those of the history where only new ones count; of equal ones the first rows."""
    kept_I = scores_I
    if kind[1] == "new":
        kept_I = scores_I.copy()
        low, high = targets.histories.offsets[target : target + 2]
        kept_I[targets.histories.items_H[low:high]] = -np.inf
    num = min(LISTED, int(np.isfinite(kept_I).sum()))
    if not num:
        return np.zeros(0, dtype=np.int64)
    best = np.argpartition(-kept_I, num - 1)[:num]
    return best[np.lexsort((best, -kept_I[best]))]


def _check(model: Model, scores_BI: Float32Array, num_targets: int) -> None:
    if scores_BI.ndim != 2 or len(scores_BI) != num_targets:
        raise ValueError(f"model {model.name} gave scores of shape {scores_BI.shape} for {num_targets} targets")
    if not np.isfinite(scores_BI).all():
        wrong = int((~np.isfinite(scores_BI)).sum())
        raise ValueError(
            f"model {model.name}: {wrong} of {scores_BI.size} scores are no numbers; it must not be judged"
        )


def popularity_of(items_E: IntArray, num_items: int) -> IntArray:
    """Events per item; shape (I,)."""
    return np.bincount(items_E, minlength=num_items).astype(np.int64)
