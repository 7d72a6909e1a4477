"""Fewer labels and wrong labels: what is learned from changes by the stated share, what is asked does not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.interactions import Interactions
from mmrec.evaluation.label_damage import with_flipped_labels, with_share_of_labels
from mmrec.evaluation.splits import leave_one_out
from mmrec.evaluation.task import Task
from mmrec.experiments.target_file import is_same

NUM_ITEMS = 7


def task(*, num_items: int = NUM_ITEMS) -> Task:
    generator = np.random.default_rng(3)
    return leave_one_out(
        Interactions.in_order(
            user_ids=[f"u{user}" for user in range(20)],
            item_ids=[f"i{item}" for item in range(num_items)],
            behavior_names=("browse", "purchase"),
            users_E=np.arange(200) % 20,
            items_E=generator.integers(0, num_items, 200),
            times_E=np.arange(200.0),
            behaviors_E=generator.integers(0, 2, 200),
        )
    )


TASK = task()
SHARES = st.floats(0.01, 1.0)


def assert_asked_alike(one: Task, other: Task) -> None:
    for a, b in ((one.test, other.test), (one.validation, other.validation)):
        assert is_same(a, b)
        assert np.array_equal(a.histories.items_H, b.histories.items_H)


@given(SHARES, st.integers(0, 5))
def test_a_share_of_labels_is_that_share_and_asks_the_same(share: float, seed: int) -> None:
    found = with_share_of_labels(TASK, share=share, seed=seed)
    num_seen = int(TASK.refit_E.sum())
    assert abs(int(found.refit_E.sum()) - share * num_seen) <= 1
    assert not (found.refit_E & ~TASK.refit_E).any() and not (found.fit_E & ~TASK.fit_E).any()
    assert np.array_equal(found.fit_E, TASK.fit_E & found.refit_E)
    assert found.data is TASK.data
    assert_asked_alike(found, TASK)


@given(SHARES, SHARES, st.integers(0, 5))
def test_a_smaller_share_is_part_of_a_larger_one(one: float, other: float, seed: int) -> None:
    small, large = sorted((one, other))
    few, many = (with_share_of_labels(TASK, share=share, seed=seed).refit_E for share in (small, large))
    assert not (few & ~many).any()
    less, more = (with_flipped_labels(TASK, share=share, seed=seed).data.items_E for share in (small, large))
    wrong = less != TASK.data.items_E
    assert np.array_equal(less[wrong], more[wrong]), "what is wrong at a small share is wrong in the same way"


@given(st.floats(0.0, 1.0), st.integers(0, 5))
def test_flipped_labels_are_that_share_on_other_items_and_nothing_else_changes(share: float, seed: int) -> None:
    found = with_flipped_labels(TASK, share=share, seed=seed)
    wrong_E = found.data.items_E != TASK.data.items_E
    assert abs(int(wrong_E.sum()) - share * int(TASK.refit_E.sum())) <= 1
    assert not wrong_E[~TASK.refit_E].any(), "what is asked is not among what may be wrong"
    for name in ("users_E", "times_E", "behaviors_E"):
        assert np.array_equal(getattr(found.data, name), getattr(TASK.data, name))
    assert_asked_alike(found, TASK)


def test_a_wrong_label_is_as_likely_on_every_other_item() -> None:
    counts = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for seed in range(300):
        found = with_flipped_labels(TASK, share=1.0, seed=seed)
        np.add.at(counts, (TASK.data.items_E[TASK.refit_E], found.data.items_E[TASK.refit_E]), 1)
    assert not counts.diagonal().any()
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert shares[~np.eye(NUM_ITEMS, dtype=bool)] == pytest.approx(1 / (NUM_ITEMS - 1), abs=0.02)


def test_all_labels_and_no_wrong_ones_are_the_labels_as_they_are() -> None:
    assert np.array_equal(with_share_of_labels(TASK, share=1.0, seed=1).fit_E, TASK.fit_E)
    assert np.array_equal(with_flipped_labels(TASK, share=0.0, seed=1).data.items_E, TASK.data.items_E)


def test_the_seed_decides_which_labels_and_the_same_one_decides_alike() -> None:
    for damage in (with_share_of_labels, with_flipped_labels):
        keys = [damage(TASK, share=0.5, seed=seed).fingerprint() for seed in (1, 1, 2)]
        assert keys[0] == keys[1] != keys[2]
        assert keys[0] != TASK.fingerprint()


@pytest.mark.parametrize(
    ("damage", "share", "said"),
    [
        (with_share_of_labels, 0.0, "a share of labels of 0.0; give a number above 0, up to 1"),
        (with_share_of_labels, 1.5, "a share of labels of 1.5"),
        (with_share_of_labels, float("nan"), "a share of labels of nan"),
        (with_flipped_labels, -0.1, "a share of wrong labels of -0.1; give a number from 0 to 1"),
        (with_flipped_labels, 2.0, "a share of wrong labels of 2.0"),
    ],
)
def test_a_share_that_is_none_is_refused_with_what_would_be_right(damage: Any, share: float, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        damage(TASK, share=share, seed=1)


def test_one_item_has_no_other_to_be_wrong_on() -> None:
    with pytest.raises(InvalidRequestError, match="labels can be wrong from 2 items on"):
        with_flipped_labels(task(num_items=1), share=0.5, seed=1)
