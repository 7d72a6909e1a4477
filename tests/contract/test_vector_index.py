"""Both vector indexes keep the same laws; faiss equals the plain matrix product."""

import numpy as np
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.index.faiss_index import FaissIndex
from mmrec.index.vectors import NO_ROW, ExactIndex

INDEXES = [ExactIndex, FaissIndex]


def vectors(num_items: int, embedding_dim: int = 16, *, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(num_items, embedding_dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def ids(num_items: int) -> tuple[str, ...]:
    return tuple(f"i{row}" for row in range(num_items))


@pytest.mark.parametrize("index", INDEXES)
def test_an_item_is_nearest_to_itself(index):
    built = index(ids(300), vectors(300))
    found = built.search(built.vectors_ID[:20], num_results=5)
    assert found.rows_QK[:, 0].tolist() == list(range(20))
    assert np.allclose(found.scores_QK[:, 0], 1.0, atol=1e-5)
    assert (np.diff(found.scores_QK, axis=1) <= 0).all()


@pytest.mark.parametrize("share", [None, 0.5, 0.05])
def test_both_find_the_same_items(share):
    rng = np.random.default_rng(3)
    allowed_I = None if share is None else rng.random(500) < share
    queries_QD = vectors(12, seed=9)
    exact = ExactIndex(ids(500), vectors(500)).search(queries_QD, num_results=20, allowed_I=allowed_I)
    fast = FaissIndex(ids(500), vectors(500)).search(queries_QD, num_results=20, allowed_I=allowed_I)
    assert (exact.rows_QK == fast.rows_QK).all()
    assert np.allclose(exact.scores_QK, fast.scores_QK, atol=1e-5)


@pytest.mark.parametrize("index", INDEXES)
def test_only_allowed_items_are_found_and_missing_hits_are_marked(index):
    allowed_I = np.zeros(100, dtype=np.bool_)
    allowed_I[[3, 50, 99]] = True
    found = index(ids(100), vectors(100)).search(vectors(2, seed=5), num_results=6, allowed_I=allowed_I)
    for rows, scores in zip(found.rows_QK, found.scores_QK, strict=True):
        assert set(rows[:3].tolist()) == {3, 50, 99}
        assert (rows[3:] == NO_ROW).all()
        assert np.isneginf(scores[3:]).all()


@pytest.mark.parametrize("index", INDEXES)
def test_an_empty_index_finds_nothing(index):
    found = index((), np.zeros((0, 4), np.float32)).search(np.ones((1, 4), np.float32), num_results=3)
    assert (found.rows_QK == NO_ROW).all()


@pytest.mark.parametrize("index", INDEXES)
def test_vectors_that_do_not_fit_are_refused(index):
    with pytest.raises(InvalidRequestError, match="do not fit"):
        index(ids(3), vectors(2))
    with pytest.raises(InvalidRequestError, match="NaN"):
        index(ids(1), np.full((1, 2), np.nan, np.float32))
    with pytest.raises(InvalidRequestError, match="repeat"):
        index(("a", "a"), vectors(2))
