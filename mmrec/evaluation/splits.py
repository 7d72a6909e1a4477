"""Splits: pure functions from events to a Task (METHODS M34).

    leave_one_out(data)        judged: the last event of each user, validation: the one before it
    per_user(data)             judged: the last fifth of each user's events, validation: the tenth before it
    global_time(data)          judged: the last tenth of the time line, validation: the tenth before it       (primary)
    rolling(data)              the same, at several points of the time line
    by_user(data)              judged: users whose events no fit sees

One law holds for all: nothing is learned from, or seen in a history, that happened at or after a target's instant:
events of everybody where clocks are shared (global time, rolling), of the target's user elsewhere. Events of that very
instant beside the ones that are asked about are left out, since their order is not known. S3 draws its 80 % at random;
here the last ones are judged, because a random part shows a model the future of its targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
from msgspec import Meta

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.interactions import BoolArray, FloatArray, IntArray, Interactions
from mmrec.evaluation.task import Bound, SeenPolicy, Targets, Task, targets_of
from mmrec.wire.declared import AtLeastOne, Count, check

Part = Annotated[float, Meta(gt=0, lt=0.5)]
"""Share of events or users."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """What all splits are given."""

    target_behaviors: tuple[str, ...] = ()
    """Events of these behaviors are judged; empty judges all."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Grade of a positive by its behavior; 1 where not named."""
    seen: SeenPolicy = "new"
    min_history: Count = 1
    """Users with fewer events before the instant are not asked."""
    validation_share: Part = 0.1
    """Of events or users, before the test."""
    test_share: Part = 0.1
    max_targets: AtLeastOne = 1_000_000
    """Of validation and of test; more are drawn from."""
    seed: Count = 0
    """Of what a split draws."""

    def __post_init__(self) -> None:
        check(self, "split")

    def targets(self, data: Interactions, chosen_E: BoolArray, as_of_U: FloatArray) -> Targets:
        """Targets of events; see targets_of()."""
        return targets_of(
            data,
            chosen_E,
            as_of_U=as_of_U,
            weights=self.weights,
            min_history=self.min_history,
            max_targets=self.max_targets,
            seed=self.seed,
        )


DEFAULTS: Final = SplitOptions()


def leave_one_out(data: Interactions, options: SplitOptions = DEFAULTS) -> Task:
    """The last event of each user is judged, the last one before its instant is for validation.

    With target behaviors these are the last such events; what a user did afterwards is not used at all.
    """
    asked_E = _asked(data, options)
    test_U = _last(data, asked_E)
    test_from_U = _times(data, test_U, absent=np.inf)
    before_E = asked_E & (data.times_E < test_from_U[data.users_E])
    valid_U = np.where(test_U >= 0, _last(data, before_E), -1)
    valid_from_U = np.minimum(_times(data, valid_U, absent=np.inf), test_from_U)
    return _task(
        "leave_one_out",
        data,
        options,
        bound="own",
        visible_E=(data.times_E < valid_from_U[data.users_E], data.times_E < test_from_U[data.users_E]),
        chosen_E=(_mask(data, valid_U), _mask(data, test_U)),
        as_of_U=(valid_from_U, test_from_U),
    )


def per_user(data: Interactions, options: SplitOptions = SplitOptions(test_share=0.2)) -> Task:
    """The last part of each user's events is judged; users with fewer than three events are learned from alone."""
    by_user = np.argsort(data.users_E, kind="stable")
    starts_U = np.searchsorted(data.users_E[by_user], np.arange(data.num_users + 1))
    num_U = np.diff(starts_U)
    cuts = []
    for share in (options.test_share + options.validation_share, options.test_share):
        kept_U = np.floor(num_U * (1.0 - share) + 1e-9).astype(np.int64)
        has_part_U = (num_U >= 3) & (kept_U >= 1)
        place_U = np.where(has_part_U, np.minimum(starts_U[:-1] + kept_U, len(data) - 1), 0)
        cuts.append(np.where(has_part_U, data.times_E[by_user][place_U], np.inf) if len(data) else np.zeros(0))
    valid_from_U, test_from_U = np.where(np.isfinite(cuts[0]), cuts[0], cuts[1]), cuts[1]
    own_valid, own_test = valid_from_U[data.users_E], test_from_U[data.users_E]
    asked_E = _asked(data, options)
    return _task(
        "per_user",
        data,
        options,
        bound="own",
        visible_E=(data.times_E < own_valid, data.times_E < own_test),
        chosen_E=(
            asked_E & (data.times_E >= own_valid) & (data.times_E < own_test),
            asked_E & (data.times_E >= own_test),
        ),
        as_of_U=(valid_from_U, test_from_U),
    )


def global_time(data: Interactions, options: SplitOptions = DEFAULTS) -> Task:
    """Judged is the last part of the time line; nobody's later events are known.

    Raises:
        InvalidRequestError: times are positions, which users do not share.
    """
    return _window(data, options, "global_time", end=1.0)


def rolling(data: Interactions, options: SplitOptions = DEFAULTS, *, num_folds: int = 3) -> tuple[Task, ...]:
    """Global time at several points: the test of a fold is the window before the next fold's, oldest fold first.

    Raises:
        InvalidRequestError: times are positions, or so many windows leave nothing to learn from.
    """
    first = 1.0 - (num_folds - 1) * options.test_share
    if num_folds < 1 or first - options.test_share - options.validation_share <= 0:
        raise InvalidRequestError(
            f"{num_folds} folds of {options.test_share:g} leave nothing to learn from; give fewer"
        )
    return tuple(
        _window(data, options, f"rolling_{fold + 1}_of_{num_folds}", end=first + fold * options.test_share)
        for fold in range(num_folds)
    )


def by_user(data: Interactions, options: SplitOptions = DEFAULTS) -> Task:
    """Judged are users whose events no fit sees: their last event, with what they did before as history."""
    order_U = np.random.default_rng(options.seed).permutation(data.num_users)
    num_test, num_valid = (
        max(1, round(share * data.num_users)) for share in (options.test_share, options.validation_share)
    )
    group_U = np.zeros(data.num_users, dtype=np.int64)  # 0: learned from, 1: validation, 2: test
    group_U[order_U[:num_test]] = 2
    group_U[order_U[num_test : num_test + num_valid]] = 1
    asked_E = _asked(data, options)
    last_U = _last(data, asked_E)
    as_of_U = _times(data, last_U, absent=np.inf)
    group_E = group_U[data.users_E]
    return _task(
        "by_user",
        data,
        options,
        bound="own",
        visible_E=(group_E == 0, group_E <= 1),
        chosen_E=tuple(_mask(data, np.where(group_U == group, last_U, -1)) for group in (1, 2)),
        as_of_U=(as_of_U, as_of_U),
    )


def _window(data: Interactions, options: SplitOptions, name: str, *, end: float) -> Task:
    if data.clock != "seconds":
        raise InvalidRequestError(
            f"{name} needs times in seconds, and these events have positions, which differ from user to user; take "
            "leave_one_out or per_user"
        )
    shares = (end - options.test_share - options.validation_share, end - options.test_share)
    valid_from, test_from = (_quantile(data.times_E, share) for share in shares)
    until = _quantile(data.times_E, end) if end < 1.0 - 1e-9 else np.inf
    asked_E = _asked(data, options)
    return _task(
        name,
        data,
        options,
        bound="everybody",
        visible_E=(data.times_E < valid_from, data.times_E < test_from),
        chosen_E=(
            asked_E & (data.times_E >= valid_from) & (data.times_E < test_from),
            asked_E & (data.times_E >= test_from) & (data.times_E < until),
        ),
        as_of_U=(np.full(data.num_users, valid_from), np.full(data.num_users, test_from)),
    )


def _quantile(times_E: FloatArray, share: float) -> float:
    """Time of the event at that share of all events."""
    return float(times_E[min(int(share * len(times_E) + 1e-9), len(times_E) - 1)]) if len(times_E) else 0.0


def _task(
    name: str,
    data: Interactions,
    options: SplitOptions,
    *,
    bound: Bound,
    visible_E: Sequence[BoolArray],
    chosen_E: Sequence[BoolArray],
    as_of_U: Sequence[FloatArray],
) -> Task:
    validation, test = (options.targets(data, c, a) for c, a in zip(chosen_E, as_of_U, strict=True))
    if not len(test):
        wanted = ", ".join(options.target_behaviors) or "any behavior"
        raise InvalidRequestError(
            f"{name} finds nothing to judge: no user of {data.num_users:,} has an event ({wanted}) with "
            f"{options.min_history} before it"
        )
    return Task(
        name=name,
        data=data,
        fit_E=visible_E[0],
        refit_E=visible_E[1],
        validation=validation,
        test=test,
        bound=bound,
        seen=options.seen,
    )


def _asked(data: Interactions, options: SplitOptions) -> BoolArray:
    """Events of the target behaviors."""
    unknown = [name for name in options.target_behaviors if name not in data.behavior_names]
    if unknown:
        raise InvalidRequestError(f"no event is a {', '.join(unknown)}; there are {', '.join(data.behavior_names)}")
    wanted = [row for row, name in enumerate(data.behavior_names) if name in options.target_behaviors]
    return np.isin(data.behaviors_E, wanted) if options.target_behaviors else np.ones(len(data), dtype=np.bool_)


def _last(data: Interactions, chosen_E: BoolArray) -> IntArray:
    """Row of each user's last chosen event; -1 where there is none; shape (U,)."""
    rows_U = np.full(data.num_users, -1, dtype=np.int64)
    rows_E = np.flatnonzero(chosen_E)
    np.maximum.at(rows_U, data.users_E[rows_E], rows_E)
    return rows_U


def _times(data: Interactions, rows_U: IntArray, *, absent: float) -> FloatArray:
    if not len(data):
        return np.full(len(rows_U), absent)
    return np.where(rows_U >= 0, data.times_E[np.maximum(rows_U, 0)], absent)


def _mask(data: Interactions, rows_U: IntArray) -> BoolArray:
    chosen_E = np.zeros(len(data), dtype=np.bool_)
    chosen_E[rows_U[rows_U >= 0]] = True
    return chosen_E
