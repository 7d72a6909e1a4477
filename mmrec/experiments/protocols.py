"""Protocols by name: a split and the candidates its first figures are among.

    loo_full            leave-one-out, the whole catalogue
    time_full           global time, the whole catalogue: the primary protocol where events have times
    user80_uniform_19   the last fifth of each user's events, 19 negatives: as the papers seem to do it
    by_user_full        users that no fit saw
    rolling_2_full      the second of three folds over time

Any split goes with any candidates; the other candidates are measured in the same run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.candidates import CANDIDATES, candidate_name
from mmrec.evaluation.interactions import Interactions
from mmrec.evaluation.splits import SplitOptions, by_user, global_time, leave_one_out, per_user, rolling
from mmrec.evaluation.task import Task

NUM_FOLDS: Final = 3
Split = Callable[[Interactions, SplitOptions], Task]


def _per_user(data: Interactions, options: SplitOptions) -> Task:
    return per_user(data, replace(options, test_share=0.2))


def _fold(number: int) -> Split:
    return lambda data, options: rolling(data, options, num_folds=NUM_FOLDS)[number]


SPLITS: Final[Mapping[str, Split]] = {
    "loo": leave_one_out,
    "time": global_time,
    "user80": _per_user,
    "by_user": by_user,
    **{f"rolling_{number + 1}": _fold(number) for number in range(NUM_FOLDS)},
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One split and the candidates of its first figures."""

    name: str
    split: str
    candidates: str

    def task(self, data: Interactions, options: SplitOptions) -> Task:
        """The task of some events; errors as the split's."""
        return SPLITS[self.split](data, options)


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InvalidRequestError: it is not a split and candidates.
    """
    for split in SPLITS:
        if name.startswith(f"{split}_"):
            return Protocol(name=name, split=split, candidates=candidate_name(name.removeprefix(f"{split}_")))
    raise InvalidRequestError(
        f"no protocol is called {name!r}; give SPLIT_CANDIDATES, such as loo_full: splits are {', '.join(SPLITS)}, "
        f"candidates {', '.join(CANDIDATES)}"
    )
