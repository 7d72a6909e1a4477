"""A re-rank is a permutation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError
from mmrec.serving.rerank import by_score, diversified


@given(
    scores=st.lists(st.floats(-5, 5), min_size=0, max_size=90),
    diversity=st.floats(0, 0.99),
    seed=st.integers(0, 99),
)
def test_a_rerank_is_a_permutation(scores, diversity, seed):
    scores_N = np.array(scores, dtype=np.float64)
    vectors_ND = np.random.default_rng(seed).normal(size=(len(scores), 4)).astype(np.float32)
    order = diversified(by_score(scores_N), scores_N, vectors_ND, diversity=diversity)
    assert sorted(order.tolist()) == list(range(len(scores)))


def test_without_diversity_the_order_is_by_score_and_equal_scores_keep_theirs():
    scores_N = np.array([0.5, 1.0, 0.5, 2.0])
    assert by_score(scores_N).tolist() == [3, 1, 0, 2]
    assert diversified(by_score(scores_N), scores_N, np.zeros((4, 2), np.float32), diversity=0.0).tolist() == [
        3,
        1,
        0,
        2,
    ]


def test_the_twin_of_the_best_item_goes_behind_a_different_one():
    vectors_ND = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    scores_N = np.array([1.0, 0.9, 0.8])
    assert diversified(by_score(scores_N), scores_N, vectors_ND, diversity=0.5).tolist() == [0, 2, 1]


def test_impossible_diversity_is_refused():
    with pytest.raises(ConfigurationError, match=r"1\.0"):
        diversified(np.arange(3), np.zeros(3), np.zeros((3, 2), np.float32), diversity=1.0)
