"""Metrics of vectors and attribute models agree with the obvious loops over the same items."""

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.evaluation.content_metrics import (
    accuracy,
    confusion,
    first_right_ranks,
    graded_ndcg,
    knn_labels,
    macro_f1,
    majority_accuracy,
    nearest,
    reliability,
)
from mmrec.evaluation.metrics import hit_rate

LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=30)


def grid(rows: int, seed: int) -> np.ndarray:
    """Small whole numbers, so that ties are many."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, 3)).astype(np.float32)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return round(float(one @ other) / lengths, 5) if lengths else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_nearest_is_the_sorted_gallery_without_what_is_left_out(seed):
    queries, gallery = grid(7, seed), grid(9, seed + 50)
    found = nearest(queries, gallery, 8, leave_out=lambda query: np.array([query, 0]))
    for query, rows in enumerate(found):
        allowed = [row for row in range(9) if row not in {query, 0}]
        expected = sorted(allowed, key=lambda row: (-cosine(queries[query], gallery[row]), row))
        expected += [-1] * (8 - len(expected))
        assert rows.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_neighbors_vote_and_the_nearest_breaks_a_tie(seed):
    queries, gallery = grid(12, seed), grid(20, seed + 50)
    labels = np.random.default_rng(seed).choice(list("abc"), 20)
    for query, label in enumerate(knn_labels(queries, gallery, labels, k=5)):
        order = sorted(range(20), key=lambda row: (-cosine(queries[query], gallery[row]), row))[:5]
        votes = Counter(labels[row] for row in order)
        assert label == next(labels[row] for row in order if votes[labels[row]] == max(votes.values()))


@pytest.mark.parametrize("seed", range(4))
def test_first_right_rank_counts_better_items_and_equal_ones_by_chance(seed):
    queries, gallery = grid(10, seed), grid(15, seed + 50)
    keys = np.random.default_rng(seed).choice(list("abcdef"), 25)
    ranks = first_right_ranks(queries, gallery, query_keys=keys[:10], gallery_keys=keys[10:])
    for query, rank in enumerate(ranks):
        scores = [cosine(queries[query], row) for row in gallery]
        right = [score for score, key in zip(scores, keys[10:], strict=True) if key == keys[query]]
        wrong = [score for score, key in zip(scores, keys[10:], strict=True) if key != keys[query]]
        if not right:
            assert rank == 0
        else:
            better = sum(s > max(right) for s in wrong)
            assert 1 + better <= rank <= 1 + better + sum(s == max(right) for s in wrong)


def test_a_constant_model_finds_what_chance_finds_and_a_perfect_one_everything():
    rows = np.arange(1_000)
    constant = np.ones((1_000, 3), dtype=np.float32)
    found = first_right_ranks(constant, constant, query_keys=rows, gallery_keys=rows)
    assert hit_rate(found, 250) == pytest.approx(0.25, abs=0.04)
    pairs = first_right_ranks(constant, constant, query_keys=rows // 2, gallery_keys=rows // 2)
    assert hit_rate(pairs, 250) == pytest.approx(1 - 0.75**2, abs=0.04)
    assert (found == first_right_ranks(constant, constant, query_keys=rows, gallery_keys=rows)).all()
    perfect = np.eye(40, dtype=np.float32)
    assert hit_rate(first_right_ranks(perfect, perfect, query_keys=rows[:40], gallery_keys=rows[:40]), 1) == 1.0


def test_graded_ndcg_by_hand():
    best = 3 + 2 / log2(3) + 1 / log2(4)
    assert graded_ndcg([1, 3], [0, 3, 1, 2, 0], 3) == pytest.approx((1 + 3 / log2(3)) / best)
    assert graded_ndcg([3, 2, 1, 0], [0, 3, 1, 2, 0], 3) == 1.0
    assert graded_ndcg([0, 0], [0, 0], 5) == 0.0


@given(LABELS)
@settings(max_examples=50)
def test_class_figures_agree_with_counting(pairs):
    true, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    scores = []
    for label in set(true) | set(predicted):
        hits = pairs.count((label, label))
        precision, recall = hits / max(predicted.count(label), 1), hits / max(true.count(label), 1)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    assert macro_f1(true, predicted) == pytest.approx(sum(scores) / len(scores))
    assert accuracy(true, predicted) == sum(one == other for one, other in pairs) / len(pairs)
    found = confusion(true, predicted)
    counted = Counter(pairs)
    for row, one in enumerate(found.labels):
        for column, other in enumerate(found.labels):
            assert found.counts_CC[row, column] == counted[one, other]


def test_the_majority_of_training_is_judged_on_other_items():
    assert majority_accuracy(["b", "a", "b"], ["a", "b", "c", "b"]) == 0.5


def test_reliability_by_hand():
    curve = reliability(np.array([0.05, 0.15, 0.95, 0.85, 1.0]), np.array([False, True, True, True, False]), num_bins=2)
    assert curve.confidence_B == pytest.approx([0.1, 2.8 / 3])
    assert curve.accuracy_B == pytest.approx([0.5, 2 / 3])
    assert curve.counts_B.tolist() == [2, 3]
    assert curve.error == pytest.approx((0.4 * 2 + (2.8 - 2) / 3 * 3) / 5)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="one per item"):
        accuracy(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="one per item"):
        knn_labels(grid(2, 1), grid(3, 1), ["a"])
