"""Laws of what each feature added to a score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.serving.contributions import contributions


@given(seed=st.integers(0, 10_000), size=st.integers(1, 8), num_orders=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_contributions_sum_to_the_difference_of_the_scores(seed, size, num_orders):
    drawn = np.random.default_rng(seed)
    weights = drawn.normal(size=(size, size))
    row, others = drawn.normal(size=(2, size)).astype(np.float32)

    def score(rows):
        return np.tanh(rows.astype(np.float64) @ weights).sum(axis=1)

    added = contributions(score, row, others, num_orders=num_orders)
    assert added.sum() == pytest.approx(float((score(row[None]) - score(others[None]))[0]), abs=1e-6)


def test_of_a_linear_score_each_feature_adds_its_own_term():
    weights = np.array([2.0, -1.0, 0.0])
    row, others = np.array([1.0, 3.0, 9.0], dtype=np.float32), np.array([0.0, 1.0, 0.0], dtype=np.float32)
    added = contributions(lambda rows: rows.astype(np.float64) @ weights, row, others, num_orders=1)
    assert added.tolist() == pytest.approx([2.0, -2.0, 0.0])


def test_what_two_features_do_only_together_is_shared_between_them():
    row, others = np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    added = contributions(lambda rows: rows[:, 0].astype(np.float64) * rows[:, 1], row, others, num_orders=64)
    assert added.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_the_same_seed_gives_the_same_numbers():
    drawn = np.random.default_rng(3)
    row, others = drawn.normal(size=(2, 6)).astype(np.float32)

    def score(rows):
        return np.prod(1.0 + 0.1 * rows.astype(np.float64), axis=1)

    first, second = (contributions(score, row, others, seed=7) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_without_features_nothing_is_added():
    nothing = np.zeros(0, dtype=np.float32)
    assert contributions(lambda rows: np.zeros(len(rows)), nothing, nothing).tolist() == []
