"""Compiled searches and sums over rows equal their plain definitions, whatever rows and scores there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.index.allowed import EVERYTHING, AllowedItems, of_mask
from mmrec.index.best_rows import allowed_of_each, best_of_each, best_rows, first_rows
from mmrec.index.row_tables import NO_PLACE, places_in, table_of
from mmrec.recall.fusion import FUSION_OFFSET, fuse
from mmrec.recall.source import NOTHING, Proposals, best
from mmrec.recall.sources.registry import SOURCES
from mmrec.recall.sums import loudest, neighbor_sums, pulled_by

seeds = st.integers(0, 2**32 - 1)


def drawn_condition(rng: np.random.Generator, num_items: int) -> tuple[AllowedItems, np.ndarray]:
    """A condition with any of its parts, and the mask that it means."""
    parts, mask_I = {}, np.ones(num_items, dtype=np.bool_)
    for name in ("showable_I", "passing_I", "embedded_I"):
        if rng.random() < 0.5:
            parts[name] = rng.random(num_items) < 0.7
            mask_I &= parts[name]
    if rng.random() < 0.5:
        parts |= {"publish_times_I": rng.choice([np.nan, 1.0, 5.0, 9.0], size=num_items), "earliest_s": 5.0}
        mask_I &= ~(parts["publish_times_I"] > 5.0)
    if rng.random() < 0.5:
        parts |= {"expire_times_I": rng.choice([np.inf, 1.0, 5.0, 9.0], size=num_items), "latest_s": 5.0}
        mask_I &= parts["expire_times_I"] > 5.0
    closed = rng.integers(-1, num_items, size=int(rng.integers(0, 9)))
    mask_I[closed[closed >= 0]] = False
    return AllowedItems(**parts).without(closed), mask_I


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_a_condition_on_items_is_the_mask_that_it_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    allowed, mask_I = drawn_condition(rng, 50)
    np.testing.assert_array_equal(allowed.mask(50), mask_I)
    rows_N = rng.integers(0, 50, size=20)
    np.testing.assert_array_equal(allowed.at(rows_N), mask_I[rows_N])
    np.testing.assert_array_equal(of_mask(mask_I).mask(50), mask_I)
    assert EVERYTHING.mask(3).all()


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_the_best_rows_are_the_first_of_all_sorted_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_items, num_results = 80, int(rng.integers(0, 40))
    allowed, mask_I = drawn_condition(rng, num_items)
    rows_M = rng.permutation(num_items)[: int(rng.integers(0, num_items))]
    scores_M = rng.choice([-np.inf, -1.0, 0.0, 0.5, 2.0], size=len(rows_M))
    kept = mask_I[rows_M]
    order = np.lexsort((rows_M[kept], -scores_M[kept]))[:num_results]
    rows_K, scores_K = best_rows(rows_M, scores_M, num_results, allowed)
    np.testing.assert_array_equal(rows_K, rows_M[kept][order])
    np.testing.assert_array_equal(scores_K, scores_M[kept][order])
    np.testing.assert_array_equal(first_rows(rows_M, num_results, allowed.parts), rows_M[kept][:num_results])


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_best_of_each_query_are_the_first_of_all_sorted_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_items, num_results = int(rng.integers(0, 60)), int(rng.integers(0, 20))
    allowed, mask_I = drawn_condition(rng, num_items)
    scores_QI = rng.integers(0, 9, size=(3, num_items)).astype(np.float32)
    rows_QK, scores_QK = best_of_each(scores_QI, num_results, allowed)
    whole_QM = np.argsort(-scores_QI, axis=1, kind="stable")
    again = allowed_of_each(whole_QM, np.take_along_axis(scores_QI, whole_QM, axis=1), num_results, allowed.parts)
    for query in range(3):
        wanted = [row for row in whole_QM[query].tolist() if mask_I[row]][:num_results]
        empty = [-1] * (num_results - len(wanted))
        assert rows_QK[query].tolist() == again[0][query].tolist() == wanted + empty
        assert scores_QK[query, : len(wanted)].tolist() == scores_QI[query, wanted].tolist()
        assert np.isneginf(scores_QK[query, len(wanted) :]).all()
        assert again[2] <= len(wanted)


def test_what_is_no_number_is_never_among_the_best() -> None:
    proposals = best(np.array([4, 2, -1, 7]), np.array([1.0, np.nan, 9.0, 3.0]), 10)
    assert proposals.rows_K.tolist() == [7, 4]
    narrow = best(np.array([4, 2], dtype=np.int32), np.array([1.0, 2.0], dtype=np.float32), 1)
    assert narrow.rows_K.tolist() == [2]
    assert not len(best(NOTHING.rows_K, NOTHING.scores_K, 3).rows_K)


def test_arguments_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError):
        best_rows(np.array([0.5]), np.array([1.0]), 1, EVERYTHING)
    with pytest.raises(TypeError):
        places_in(table_of(np.array([1])), np.array([1]), ["a"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 40) | st.integers(0, 2**40), max_size=60), st.lists(st.integers(-1, 60), max_size=30))
def test_a_table_finds_the_last_place_of_every_row(rows: list[int], asked: list[int]) -> None:
    rows_U = np.array(rows, dtype=np.int64)
    places = {row: place for place, row in enumerate(rows) if row >= 0}
    rows_N = np.array([*asked, *rows], dtype=np.int64)
    found = places_in(table_of(rows_U), rows_U, rows_N)
    assert found.tolist() == [places.get(row, NO_PLACE) for row in rows_N.tolist()]


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_neighbor_sums_are_those_over_all_own_items(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_items, width = 30, 4
    rows_IK = np.array([rng.permutation(np.arange(-2, num_items))[:width] for _ in range(num_items)])
    rows_IK = np.maximum(rows_IK, -1).astype(np.int32)
    weights_IK = rng.random((num_items, width))
    own_rows_J = rng.permutation(np.arange(-1, num_items))[: int(rng.integers(0, 12))]
    pulls_J = rng.random(len(own_rows_J))
    scores_I, added_IJ = np.zeros(num_items), np.zeros((num_items, len(own_rows_J)))
    for j, own in enumerate(own_rows_J.tolist()):
        for row, weight in zip(rows_IK[own].tolist(), weights_IK[own].tolist(), strict=True):
            if own >= 0 and row >= 0:
                scores_I[row] += pulls_J[j] * weight
                added_IJ[row, j] += pulls_J[j] * weight
    sums = neighbor_sums(own_rows_J, pulls_J, rows_IK, weights_IK)
    np.testing.assert_allclose(sums.whole(num_items), scores_I, rtol=1e-12)
    np.testing.assert_allclose(sums.at(np.arange(num_items)), scores_I, rtol=1e-12)
    for row in range(0, num_items, 7):
        owns_P, added_P = pulled_by(row, own_rows_J, pulls_J, rows_IK, weights_IK)
        assert owns_P.tolist() == np.flatnonzero(added_IJ[row]).tolist()
        np.testing.assert_allclose(added_P, added_IJ[row, owns_P], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_fusion_adds_what_each_source_gives_a_row_and_says_which_did(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, expected, said = [], dict[int, float](), dict[int, dict[str, tuple[float, float]]]()
    for source in SOURCES[: int(rng.integers(0, 6))]:
        rows_K = rng.permutation(40)[: int(rng.integers(0, 25))]
        found.append((source, Proposals(rows_K=rows_K, scores_K=rng.random(len(rows_K)))))
        for rank, (row, score) in enumerate(zip(rows_K.tolist(), found[-1][1].scores_K.tolist(), strict=True), 1):
            gain = source.weight / (FUSION_OFFSET + rank)
            expected[row] = expected.get(row, 0.0) + gain
            said.setdefault(row, {})[source.name] = (-gain, score)
    candidates = fuse(found, num_candidates=15)
    order = sorted(expected, key=lambda row: (-expected[row], row))[:15]
    assert candidates.rows_N.tolist() == order
    np.testing.assert_allclose(candidates.recall_scores_N, [expected[row] for row in order], rtol=1e-12)
    for row, sources in zip([*order, 99], candidates.sources_of_each(np.array([*order, 99])), strict=True):
        assert sources == {name: score for name, (_, score) in said.get(row, {}).items()}
        gains = [said[row][name][0] for name in sources]
        assert gains == sorted(gains)


def test_a_row_keeps_the_best_score_of_any_query() -> None:
    rows_QK = np.array([[3, 1, -1], [1, 5, 3]])
    scores_QK = np.array([[0.9, 0.2, -np.inf], [0.8, 0.7, 0.1]])
    rows_U, scores_U = loudest(rows_QK, scores_QK)
    assert dict(zip(rows_U.tolist(), scores_U.tolist(), strict=True)) == {3: 0.9, 1: 0.8, 5: 0.7}
