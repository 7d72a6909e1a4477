"""Both vector indexes keep the same laws; faiss equals the plain matrix product."""

import numpy as np
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.index.faiss_index import FaissIndex, changed_index
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


@pytest.mark.parametrize("num_flat", [10_000, 500])
@pytest.mark.parametrize("share", [None, 0.5, 0.05])
def test_an_index_that_follows_changes_finds_what_one_made_anew_finds(num_flat, share):
    rng, num_items = np.random.default_rng(7), 2_000
    values = vectors(num_items + 60)
    kept = values[:num_items].copy()
    index = FaissIndex(ids(num_items), kept, num_flat=num_flat)
    for number in range(3):
        kept = np.concatenate([kept, values[num_items + 20 * number : num_items + 20 * (number + 1)]])
        changed = rng.integers(0, len(kept) - 20, size=5)
        kept[changed] = vectors(5, seed=20 + number)
        rows = np.union1d(changed, np.arange(len(kept) - 20, len(kept)))
        index = FaissIndex.of_checked(ids(len(kept)), kept.copy(), before=index, changed_rows=rows)
    queries_QD = kept[-40:] + 0.1 * vectors(40, seed=11)
    allowed_I = None if share is None else rng.random(len(kept)) < share
    exact = ExactIndex(ids(len(kept)), kept).search(queries_QD, num_results=10, allowed_I=allowed_I)
    found = index.search(queries_QD, num_results=10, allowed_I=allowed_I)
    if num_flat > len(kept) or share == 0.05:
        assert (exact.rows_QK == found.rows_QK).all()
    same = [set(a) & set(b) for a, b in zip(exact.rows_QK.tolist(), found.rows_QK.tolist(), strict=True)]
    assert sum(map(len, same)) >= 0.9 * exact.rows_QK.size
    assert (exact.rows_QK[:, 0] == found.rows_QK[:, 0]).mean() > 0.95
    assert (np.diff(found.scores_QK, axis=1) <= 0).all()


def test_changed_items_are_judged_as_new_ones():
    index = changed_index(None, ids(3), vectors(3), changed_rows=np.arange(3))
    broken = vectors(4)
    broken[3] = np.nan
    with pytest.raises(InvalidRequestError, match="NaN"):
        changed_index(index, ids(4), broken, changed_rows=np.array([3]))
