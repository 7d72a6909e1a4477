"""Metrics against those of scikit-learn: the same lists, another implementation."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    label_ranking_average_precision_score,
    ndcg_score,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from mmrec.evaluation.candidates import FULL
from mmrec.evaluation.content_metrics import accuracy, confusion, graded_ndcg, macro_f1, reliability
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import mean_of, per_target
from mmrec.evaluation.metrics import hit_rate, ndcg_at_k, ranks_in_rows
from tests.unit.test_measure import Planted, targets_for

NUM_USERS, NUM_ITEMS, CUTS = 60, 30, (1, 3, 5, 10, 20)


def drawn_lists(seed: int, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores without ties, and grades: 1 to `most` right items per user."""
    generator = np.random.default_rng(seed)
    order_UI = np.tile(np.arange(NUM_ITEMS, dtype=np.float64), (NUM_USERS, 1))
    scores_UI = generator.permuted(order_UI, axis=1) / NUM_ITEMS
    grades_UI = np.zeros((NUM_USERS, NUM_ITEMS))
    for user in range(NUM_USERS):
        right = generator.choice(NUM_ITEMS, int(generator.integers(1, most + 1)), replace=False)
        grades_UI[user, right] = generator.choice([1.0, 3.0, 5.0, 10.0], len(right))
    return scores_UI, grades_UI


def measured(scores_UI: np.ndarray, grades_UI: np.ndarray) -> dict[str, float]:
    targets = targets_for([{int(i): float(row[i]) for i in np.flatnonzero(row)} for row in grades_UI])
    places = judge(Planted(scores_UI), targets, seed=1)[FULL, "any"]
    return {name: mean_of(values) for name, values in per_target(places, targets, cuts=CUTS).items()}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("k", CUTS)
def test_ndcg_precision_recall_and_f1_are_those_of_scikit_learn(seed: int, k: int) -> None:
    scores_UI, grades_UI = drawn_lists(seed, most=8)
    found, is_right_UI = measured(scores_UI, grades_UI), grades_UI > 0
    is_listed_UI = np.argsort(np.argsort(-scores_UI, axis=1), axis=1) < k
    expected = {
        f"ndcg_at_{k}": ndcg_score(is_right_UI, scores_UI, k=k),
        f"graded_ndcg_at_{k}": ndcg_score(grades_UI, scores_UI, k=k),
        f"precision_at_{k}": precision_score(is_right_UI, is_listed_UI, average="samples"),
        f"recall_at_{k}": recall_score(is_right_UI, is_listed_UI, average="samples"),
        f"f1_at_{k}": f1_score(is_right_UI, is_listed_UI, average="samples", zero_division=0),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_auc_of_any_number_of_right_items_is_that_of_scikit_learn() -> None:
    scores_UI, grades_UI = drawn_lists(3, most=8)
    assert measured(scores_UI, grades_UI)["auc"] == pytest.approx(
        roc_auc_score(grades_UI > 0, scores_UI, average="samples")
    )


def test_with_one_right_item_hit_rate_is_top_k_accuracy_and_mrr_the_average_precision() -> None:
    scores_UI, grades_UI = drawn_lists(4, most=1)
    right_U, found = grades_UI.argmax(axis=1), measured(scores_UI, grades_UI)
    ranks_U = ranks_in_rows(scores_UI, scores_UI[np.arange(NUM_USERS), right_U], generator=np.random.default_rng(1))
    for k in CUTS:
        expected = top_k_accuracy_score(right_U, scores_UI, k=k, labels=np.arange(NUM_ITEMS))
        assert found[f"hr_at_{k}"] == found[f"hr_each_at_{k}"] == pytest.approx(expected)
        assert hit_rate(ranks_U, k) == pytest.approx(expected)
        assert ndcg_at_k(ranks_U, k).mean() == pytest.approx(ndcg_score(grades_UI > 0, scores_UI, k=k))
    assert found["mrr"] == pytest.approx(label_ranking_average_precision_score(grades_UI > 0, scores_UI))


def test_ties_broken_at_random_are_worth_what_scikit_learn_averages_over_them() -> None:
    generator = np.random.default_rng(5)
    scores_UI = generator.integers(0, 4, (1_000, NUM_ITEMS)).astype(np.float64)
    grades_UI = np.zeros_like(scores_UI)
    grades_UI[np.arange(len(scores_UI)), generator.integers(0, NUM_ITEMS, len(scores_UI))] = 1.0
    found = measured(scores_UI, grades_UI)
    assert found["ndcg_at_5"] == pytest.approx(ndcg_score(grades_UI, scores_UI, k=5), abs=0.03)
    few = slice(200)  # of one right item each: the share of others behind it, ties half, in both
    of_few = roc_auc_score(grades_UI[few], scores_UI[few], average="samples")
    assert measured(scores_UI[few], grades_UI[few])["auc"] == pytest.approx(of_few, abs=0.03)


def test_metrics_of_labels_and_of_searches_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(6)
    true_N, predicted_N = generator.integers(0, 5, 200), generator.integers(0, 6, 200)
    assert macro_f1(true_N, predicted_N) == pytest.approx(f1_score(true_N, predicted_N, average="macro"))
    assert accuracy(true_N, predicted_N) == pytest.approx(accuracy_score(true_N, predicted_N))
    assert (confusion(true_N, predicted_N).counts_CC == confusion_matrix(true_N, predicted_N)).all()
    gains_K = generator.random(12)
    listed = -np.arange(12.0)
    assert graded_ndcg(gains_K, gains_K, 5) == pytest.approx(ndcg_score([gains_K], [listed], k=5))
    confidence_N = generator.random(500)
    right_N = generator.random(500) < confidence_N**2
    found = reliability(confidence_N, right_N, num_bins=8)
    shares, means = calibration_curve(right_N, confidence_N, n_bins=8)
    assert found.accuracy_B == pytest.approx(shares) and found.confidence_B == pytest.approx(means)
