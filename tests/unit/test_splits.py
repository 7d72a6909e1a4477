"""Splits to tasks: nothing of the future is visible, whatever the split; and each judges what it says."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.errors import InvalidRequestError, SettingError
from mmrec.evaluation.interactions import Interactions
from mmrec.evaluation.splits import SplitOptions, by_user, global_time, leave_one_out, per_user, rolling
from mmrec.evaluation.task import Targets, Task

SPLITS: dict[str, Callable[[Interactions, SplitOptions], tuple[Task, ...]]] = {
    "leave_one_out": lambda data, options: (leave_one_out(data, options),),
    "per_user": lambda data, options: (per_user(data, options),),
    "global_time": lambda data, options: (global_time(data, options),),
    "by_user": lambda data, options: (by_user(data, options),),
    "rolling": lambda data, options: rolling(data, options, num_folds=2),
}
EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 12), st.integers(0, 1)), min_size=6, max_size=40
)


def events_of(rows: list[tuple[int, int, int, int]], *, num_users: int = 4, num_items: int = 6) -> Interactions:
    """(user, item, time, behavior)."""
    return Interactions.in_order(
        user_ids=[f"u{user}" for user in range(num_users)],
        item_ids=[f"i{item}" for item in range(num_items)],
        behavior_names=("browse", "purchase"),
        users_E=[row[0] for row in rows],
        items_E=[row[1] for row in rows],
        times_E=[float(row[2]) for row in rows],
        behaviors_E=[row[3] for row in rows],
    )


def leaks(task: Task, targets: Targets, visible_E: np.ndarray) -> list[str]:
    """By a naive loop: events that a fit or a history sees, at or after a target's instant."""
    data, found = task.data, []
    for target, user in enumerate(targets.users_N.tolist()):
        as_of = targets.histories.as_of_N[target]
        for row in np.flatnonzero(visible_E).tolist():
            concerns = task.bound == "everybody" or data.users_E[row] == user
            if concerns and data.times_E[row] >= as_of:
                found.append(f"fit sees event {row} of user {data.users_E[row]} at {data.times_E[row]}, asked {as_of}")
        low, high = targets.histories.offsets[target : target + 2]
        found += [f"history at {time}, asked {as_of}" for time in targets.histories.times_H[low:high] if time >= as_of]
    return found


@pytest.mark.parametrize("name", SPLITS)
@given(rows=EVENTS, only_purchases=st.booleans(), min_history=st.integers(0, 2))
def test_no_fit_and_no_history_sees_an_event_at_or_after_its_targets_instant(
    name: str, rows: list[tuple[int, int, int, int]], only_purchases: bool, min_history: int
) -> None:
    options = SplitOptions(
        target_behaviors=("purchase",) if only_purchases else (),
        min_history=min_history,
        test_share=0.3,
        validation_share=0.2,
    )
    try:
        tasks = SPLITS[name](events_of(rows), options)
    except InvalidRequestError as error:
        assert "finds nothing to judge" in str(error)
        return
    for task in tasks:
        assert leaks(task, task.validation, task.fit_E) == []
        assert leaks(task, task.test, task.fit_E) == []
        assert leaks(task, task.test, task.refit_E) == []
        assert not (task.fit_E & ~task.refit_E).any(), "what a fit sees, a refit sees too"
        for targets in (task.validation, task.test):
            assert (np.diff(targets.offsets) >= 1).all()
            assert (targets.histories.lengths_N >= min_history).all()


@given(rows=EVENTS)
def test_the_history_of_a_target_is_all_that_its_user_did_before(rows: list[tuple[int, int, int, int]]) -> None:
    data = events_of(rows)
    task = leave_one_out(data, SplitOptions(min_history=0))
    for target, user in enumerate(task.test.users_N.tolist()):
        mine = (data.users_E == user) & (data.times_E < task.test.histories.as_of_N[target])
        part = task.test.histories.part(target, target + 1)
        assert part.items_H.tolist() == data.items_E[mine].tolist()
        assert part.newest(2).items_H.tolist() == data.items_E[mine][-2:].tolist()


def test_leave_one_out_judges_the_last_and_validates_by_the_one_before() -> None:
    task = leave_one_out(events_of([(0, item, item, 0) for item in range(5)]))
    assert task.test.items_P.tolist() == [4] and task.validation.items_P.tolist() == [3]
    assert task.data.items_E[task.fit_E].tolist() == [0, 1, 2]
    assert task.data.items_E[task.refit_E].tolist() == [0, 1, 2, 3]


def test_the_last_purchase_is_asked_with_earlier_events_only() -> None:
    rows = [(0, 0, 0, 0), (0, 1, 1, 1), (0, 2, 2, 0), (0, 3, 3, 1), (0, 4, 4, 0)]
    task = leave_one_out(events_of(rows), SplitOptions(target_behaviors=("purchase",)))
    assert task.test.items_P.tolist() == [3] and task.test.histories.items_H.tolist() == [0, 1, 2]
    assert task.validation.items_P.tolist() == [1]
    assert task.data.items_E[task.refit_E].tolist() == [0, 1, 2], "what was done after the purchase is not used"


def test_per_user_judges_the_last_fifth_of_each_user() -> None:
    rows = [(user, (user + time) % 6, time, 0) for user in range(2) for time in range(10)]
    task = per_user(events_of(rows), SplitOptions(test_share=0.2))
    assert np.diff(task.test.offsets).tolist() == [2, 2]
    assert task.refit_E.sum() == 16 and task.fit_E.sum() == 14


def test_users_that_are_judged_by_user_are_seen_by_no_fit() -> None:
    rows = [(user, (user + time) % 6, time, 0) for user in range(20) for time in range(4)]
    task = by_user(events_of(rows, num_users=20))
    judged = set(task.test.users_N.tolist())
    assert len(judged) == 2
    assert judged.isdisjoint(task.data.users_E[task.refit_E].tolist())
    assert (task.test.histories.lengths_N == 3).all()


def test_folds_move_forward_and_their_tests_do_not_overlap() -> None:
    rows = [(time % 4, time % 6, time, 0) for time in range(100)]
    first, second = rolling(events_of(rows), SplitOptions(test_share=0.1), num_folds=2)
    assert first.refit_E.sum() == 80 and second.refit_E.sum() == 90
    assert first.test.histories.as_of_N.max() < second.test.histories.as_of_N.min()


def test_an_item_is_asked_once_with_its_most_valuable_behavior_and_whether_it_is_new() -> None:
    rows = [(0, 5, 0, 0), (0, 1, 1, 0), (0, 1, 2, 1), (0, 5, 3, 0)]
    data = events_of(rows)
    options = SplitOptions(test_share=0.49, validation_share=0.1, weights={"purchase": 10.0}, min_history=0)
    task = global_time(data, options)
    assert task.test.items_P.tolist() == [1, 5]
    assert task.test.grades_P.tolist() == [10.0, 1.0]
    assert task.test.is_new_P.tolist() == [False, False]


def test_what_cannot_be_split_is_said() -> None:
    data = events_of([(0, 0, 0, 0), (0, 1, 1, 0)])
    with pytest.raises(InvalidRequestError, match="no event is a like; there are browse, purchase"):
        leave_one_out(data, SplitOptions(target_behaviors=("like",)))
    with pytest.raises(InvalidRequestError, match="finds nothing to judge"):
        leave_one_out(data, SplitOptions(target_behaviors=("purchase",)))
    with pytest.raises(SettingError, match=r"split.test_share is 0.7; give a number above 0 and below 0.5"):
        SplitOptions(test_share=0.7)
    positions = Interactions.in_order(
        user_ids=["u"], item_ids=["a", "b"], behavior_names=["review"], users_E=[0, 0], items_E=[0, 1],
        times_E=[0, 1], behaviors_E=[0, 0], clock="positions",
    )  # fmt: skip
    with pytest.raises(InvalidRequestError, match="global_time needs times in seconds, and these events have pos"):
        global_time(positions)


def test_columns_that_do_not_fit_are_said() -> None:
    with pytest.raises(ValueError, match="item rows from 0 to 9; there are 6"):
        events_of([(0, 0, 0, 0), (0, 9, 1, 0)])
    with pytest.raises(ValueError, match="1 times are no finite numbers"):
        Interactions.in_order(
            user_ids=["u"], item_ids=["a"], behavior_names=["b"], users_E=[0], items_E=[0], times_E=[np.nan],
            behaviors_E=[0],
        )  # fmt: skip
