"""Candidates, places, metrics and paired tests: against a naive list, closed forms and planted models."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.candidates import COLD, FULL, draw_candidates
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.judging import NOT_ASKED, Places, judge
from mmrec.evaluation.list_metrics import coverage, diversity, novelty
from mmrec.evaluation.measure import mean_of, per_target, ranks_alone
from mmrec.evaluation.metrics import places_among
from mmrec.evaluation.paired_tests import holm, paired_p
from mmrec.evaluation.strata import strata
from mmrec.evaluation.task import Targets, targets_of

NUM_ITEMS = 30


class Planted:
    """Scores that a test gives: a row per user."""

    name = "planted"

    def __init__(self, scores_UI: np.ndarray) -> None:
        self._scores_UI = scores_UI.astype(np.float32)

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None: ...

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        return self._scores_UI[users_N]


class Silent(Planted):
    """Scores nobody."""

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        return super().score(users_N[:0], histories)


def targets_for(positives: list[dict[int, float]], *, seen: list[list[int]] | None = None) -> Targets:
    """A target per user: grade by positive item; items of the history."""
    seen = seen or [[] for _ in positives]
    offsets = np.cumsum([0, *(len(each) for each in positives)])
    items_P = np.array([item for each in positives for item in each], dtype=np.int64)
    histories = Histories(
        offsets=np.cumsum([0, *(len(each) for each in seen)]),
        items_H=np.array([item for each in seen for item in each], dtype=np.int64),
        times_H=np.zeros(sum(map(len, seen))),
        behaviors_H=np.zeros(sum(map(len, seen)), dtype=np.int64),
        as_of_N=np.ones(len(positives)),
    )
    is_new = [item not in seen[user] for user, each in enumerate(positives) for item in each]
    return Targets(
        users_N=np.arange(len(positives)),
        histories=histories,
        offsets=offsets,
        items_P=items_P,
        grades_P=np.array([grade for each in positives for grade in each.values()]),
        behaviors_P=np.zeros(len(items_P), dtype=np.int64),
        is_new_P=np.array(is_new, dtype=np.bool_),
    )


def by_hand(order: list[int], positives: dict[int, float], k: int) -> dict[str, float]:
    """Metrics of one list, straight from their definitions."""
    first = order[:k]
    hits = [item for item in first if item in positives]
    gains = [positives.get(item, 0.0) for item in first]
    best = sorted(positives.values(), reverse=True)[:k]
    negatives = [item for item in order if item not in positives]
    pairs = [order.index(one) < order.index(other) for one in positives for other in negatives]
    ranks = [1 + sum(order.index(other) < order.index(one) for other in negatives) for one in positives]
    recall, precision = len(hits) / len(positives), len(hits) / k
    return {
        f"hr_at_{k}": float(bool(hits)),
        f"recall_at_{k}": recall,
        f"precision_at_{k}": precision,
        f"f1_at_{k}": 2 * precision * recall / (precision + recall) if hits else 0.0,
        f"ndcg_at_{k}": sum(1 / math.log2(2 + place) for place, item in enumerate(first) if item in positives)
        / sum(1 / math.log2(2 + place) for place in range(min(k, len(positives)))),
        f"graded_ndcg_at_{k}": sum(gain / math.log2(2 + place) for place, gain in enumerate(gains))
        / sum(gain / math.log2(2 + place) for place, gain in enumerate(best)),
        f"hr_each_at_{k}": sum(rank <= k for rank in ranks) / len(ranks),
        f"ndcg_each_at_{k}": sum(1 / math.log2(1 + rank) for rank in ranks if rank <= k) / len(ranks),
        "mrr": 1 / (1 + min(order.index(item) for item in positives)),
        "auc": sum(pairs) / len(pairs),
    }


USERS = st.lists(
    st.dictionaries(st.integers(0, NUM_ITEMS - 1), st.sampled_from([1.0, 3.0, 10.0]), min_size=1, max_size=12),
    min_size=1,
    max_size=5,
)


@given(positives=USERS, seed=st.integers(0, 1_000), k=st.sampled_from([1, 3, 5, 10]))
def test_metrics_of_places_are_those_of_the_list_itself(positives: list[dict[int, float]], seed: int, k: int) -> None:
    scores_UI = np.random.default_rng(seed).permuted(np.tile(np.arange(NUM_ITEMS), (len(positives), 1)), axis=1)
    targets = targets_for(positives)
    places = judge(Planted(scores_UI), targets, seed=1)[FULL, "any"]
    values = per_target(places, targets, cuts=(k,))
    for user, wanted in enumerate(positives):
        expected = by_hand(np.argsort(-scores_UI[user]).tolist(), wanted, k)
        assert {name: values[name][user] for name in expected} == pytest.approx(expected)


def test_a_constant_model_hits_k_out_of_all_and_its_auc_is_a_half() -> None:
    targets = targets_for([{user % NUM_ITEMS: 1.0} for user in range(3_000)])
    drawn = draw_candidates(targets, "uniform_9", seen="any", popularity_I=np.ones(NUM_ITEMS), seed=2)
    places = judge(Planted(np.zeros((3_000, NUM_ITEMS))), targets, [drawn], seed=3)
    full, of_ten = (per_target(places[kind], targets) for kind in ((FULL, "any"), ("uniform_9", "any")))
    assert mean_of(full["hr_at_10"]) == pytest.approx(10 / NUM_ITEMS, abs=0.03)
    assert mean_of(of_ten["hr_at_5"]) == pytest.approx(5 / 10, abs=0.03)
    assert mean_of(full["auc"]) == pytest.approx(0.5, abs=0.02)


def test_each_of_several_right_items_of_a_constant_model_hits_k_out_of_the_drawn_and_itself() -> None:
    positives = dict.fromkeys((0, 7, 13, 21), 1.0)
    targets = targets_for([positives] * 2_000)
    drawn = draw_candidates(targets, "uniform_19", seen="any", popularity_I=np.ones(NUM_ITEMS), seed=2)
    places = judge(Planted(np.zeros((2_000, NUM_ITEMS))), targets, [drawn], seed=3)["uniform_19", "any"]
    values = per_target(places, targets, cuts=(5,))
    chance = sum(1 / math.log2(1 + rank) for rank in range(1, 6)) / 20
    assert mean_of(values["hr_each_at_5"]) == pytest.approx(5 / 20, abs=0.02)
    assert mean_of(values["ndcg_each_at_5"]) == pytest.approx(chance, abs=0.02)
    assert mean_of(values["hr_at_5"]) > 0.6, "any of four in one list"


def test_a_rank_alone_is_the_place_without_other_right_items_also_those_of_another_stratum() -> None:
    targets = targets_for([{1: 1.0, 2: 1.0, 3: 1.0}, {4: 1.0}])
    places = Places(positions_P=np.array([6, 1, NOT_ASKED, 2]), num_others_N=np.array([10, 10]))
    assert ranks_alone(places, targets).tolist() == [5, 1, NOT_ASKED, 2]
    kept_P = np.array([True, False, False, True])
    values = per_target(places, targets, cuts=(5,), kept_P=kept_P)
    assert values["hr_each_at_5"].tolist() == [1.0, 1.0] and values["hr_at_5"].tolist() == [0.0, 1.0]
    assert values["auc"].tolist() == pytest.approx([0.6, 0.9])


def test_several_right_items_of_a_constant_model_are_spread_as_in_a_shuffled_list() -> None:
    # Two right items and one other: the first place is a right item's in two of three orders, not in three of four.
    generator = np.random.default_rng(3)
    places = [places_among(np.zeros(2), np.zeros(1), generator=generator) for _ in range(6_000)]
    assert np.mean([1 in each for each in places]) == pytest.approx(2 / 3, abs=0.02)
    assert all(len(set(each.tolist())) == 2 for each in places)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_every_place_is_behind_what_is_better_and_before_what_is_worse(right: list[int], others: list[int]) -> None:
    places = places_among(np.array(right, float), np.array(others, float), generator=np.random.default_rng(1))
    everything = [*right, *others]
    assert len(set(places.tolist())) == len(right)
    for score, place in zip(right, places.tolist(), strict=True):
        better = sum(each > score for each in everything)
        assert better < place <= better + everything.count(score)


def test_places_do_not_depend_on_batches_nor_on_other_candidates() -> None:
    targets = targets_for([{user % NUM_ITEMS: 1.0, (user + 7) % NUM_ITEMS: 3.0} for user in range(50)])
    model = Planted(np.zeros((50, NUM_ITEMS)))
    drawn = draw_candidates(targets, "uniform_9", seen="any", popularity_I=np.ones(NUM_ITEMS), seed=2)
    one = judge(model, targets, [drawn], seed=3, batch=7)
    other = judge(model, targets, seed=3, batch=50)
    assert one[FULL, "any"].positions_P.tolist() == other[FULL, "any"].positions_P.tolist()


def test_new_to_the_user_leaves_out_what_the_history_holds() -> None:
    targets = targets_for([{1: 1.0, 2: 1.0}], seen=[[0, 1, 3]])
    places = judge(Planted(np.arange(NUM_ITEMS, 0, -1)[None, :]), targets, seed=1)
    assert places[FULL, "any"].positions_P.tolist() == [2, 3]
    assert places[FULL, "new"].positions_P.tolist() == [NOT_ASKED, 1], "0, 1 and 3 are out of the way"
    assert places[FULL, "new"].num_others_N.tolist() == [NUM_ITEMS - 4]


def test_cold_items_are_ranked_among_cold_items() -> None:
    targets = targets_for([{4: 1.0}, {1: 1.0}])
    cold_I = np.arange(NUM_ITEMS) >= 3
    places = judge(Planted(np.tile(np.arange(NUM_ITEMS, 0, -1), (2, 1))), targets, cold_I=cold_I, seed=1)
    assert places[COLD, "any"].positions_P.tolist() == [2, NOT_ASKED]
    assert np.isnan(per_target(places[COLD, "any"], targets)["hr_at_10"][1])


def test_a_model_whose_scores_are_no_numbers_is_not_judged() -> None:
    targets = targets_for([{1: 1.0}])
    with pytest.raises(ValueError, match="model planted: 30 of 30 scores are no numbers; it must not be judged"):
        judge(Planted(np.full((1, NUM_ITEMS), np.nan)), targets, seed=1)
    with pytest.raises(ValueError, match=r"model planted gave scores of shape \(0, 30\) for 1 targets"):
        judge(Silent(np.zeros((1, NUM_ITEMS))), targets, seed=1)


@pytest.mark.parametrize("name", ["uniform_9", "uniform_19", "popular_9"])
@pytest.mark.parametrize("seen", ["any", "new"])
def test_drawn_candidates_are_distinct_not_right_and_the_same_for_a_seed(name: str, seen: str) -> None:
    targets = targets_for([{0: 1.0, 5: 1.0}] * 40, seen=[[1, 2, 3]] * 40)
    policy = "new" if seen == "new" else "any"
    popularity_I = np.arange(NUM_ITEMS, dtype=np.float64)
    one, same = (draw_candidates(targets, name, seen=policy, popularity_I=popularity_I, seed=4) for _ in range(2))
    assert one.items_NM.tolist() == same.items_NM.tolist()
    forbidden = {0, 5} | ({1, 2, 3} if seen == "new" else set())
    for row in one.items_NM.tolist():
        assert len(set(row)) == len(row) == int(name.rpartition("_")[2])
        assert forbidden.isdisjoint(row)


def test_popular_candidates_are_as_frequent_as_they_are_popular() -> None:
    targets = targets_for([{0: 1.0}] * 4_000)
    popularity_I = np.array([0.0, 9.0, 4.0, 0.0])
    drawn = draw_candidates(targets, "popular_1", seen="any", popularity_I=popularity_I, seed=4)
    shares = np.bincount(drawn.items_NM[:, 0], minlength=4) / 4_000
    assert shares == pytest.approx([0.0, 10 / 16, 5 / 16, 1 / 16], abs=0.03)


def test_too_few_items_for_so_many_candidates_is_said() -> None:
    targets = targets_for([{0: 1.0}], seen=[[1, 2]])
    with pytest.raises(InvalidRequestError, match="needs 29 items beside those a user had, and of 30 only 27 are left"):
        draw_candidates(targets, "uniform_29", seen="new", popularity_I=np.zeros(NUM_ITEMS), seed=1)
    everything = draw_candidates(targets, "uniform_27", seen="new", popularity_I=np.zeros(NUM_ITEMS), seed=1)
    assert sorted(everything.items_NM[0].tolist()) == list(range(3, NUM_ITEMS))


def test_strata_part_the_positives_and_keep_their_places() -> None:
    targets = targets_for([{1: 1.0, 2: 1.0}, {3: 1.0}], seen=[[5], [5, 6, 7, 8, 9, 10]])
    events_I = np.full(NUM_ITEMS, 9)
    events_I[2] = 0
    found = strata(targets, events_I=events_I, behavior_names=("event",))
    assert found["item_cold"].tolist() == [False, True, False]
    assert found["user_new"].tolist() == [True, True, False]
    deciles = [kept for name, kept in found.items() if name.startswith("activity")]
    assert np.sum(deciles, axis=0).tolist() == [1, 1, 1], "every positive is in one decile"
    places = Places(positions_P=np.array([1, 8, 2]), num_others_N=np.array([20, 20]))
    cold = per_target(places, targets, cuts=(5, 10), kept_P=found["item_cold"])
    assert cold["hr_at_5"][0] == 0.0 and cold["hr_at_10"][0] == 1.0 and np.isnan(cold["hr_at_10"][1])


def test_an_honest_difference_is_found_and_chance_is_not() -> None:
    generator = np.random.default_rng(3)
    assert paired_p(generator.normal(0.3, 1.0, 400), seed=1) < 0.001
    p_values = [paired_p(generator.normal(0.0, 1.0, 60), seed=1, num_flips=400) for _ in range(200)]
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=0.07)
    assert paired_p(np.zeros(10), seed=1) == 1.0


def test_all_signs_are_tried_alike_a_case_by_hand() -> None:
    # Of the 8 signs of (1, 1, 1) two are as extreme as the sum itself.
    assert paired_p(np.ones(3), seed=1) == pytest.approx(2 / 8, abs=0.02)


def test_the_smallest_of_many_p_values_counts_as_often_as_there_are_tests() -> None:
    assert holm({"b": 0.04, "a": 0.01, "c": 0.03}) == pytest.approx({"b": 0.06, "a": 0.03, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_events_to_foresee_that_lie_before_the_instant_are_our_own_mistake() -> None:
    data = Interactions.in_order(
        user_ids=["u"], item_ids=["a"], behavior_names=["b"], users_E=[0], items_E=[0], times_E=[1.0], behaviors_E=[0]
    )
    with pytest.raises(AssertionError, match="1 events to foresee lie before the instant"):
        targets_of(data, np.array([True]), as_of_U=np.array([2.0]), weights={})


def test_lists_that_are_alike_cover_little_and_differ_little() -> None:
    lists_NK = np.array([[0, 1, 2], [0, 1, -1]])
    assert coverage(lists_NK, num_items=6) == 0.5
    events_I = np.array([5, 1, 0, 0, 0, 0])  # shares with one added to each: 6/12, 2/12, 1/12
    assert novelty(lists_NK, events_I=events_I) == pytest.approx((2 * 1 + 2 * math.log2(6) + math.log2(12)) / 5)
    vectors_ID = np.array([[1, 0], [1, 0], [0, 3], [0, 0], [0, 0], [0, 0]], dtype=np.float32)
    # The first list has pairs at 0, 1 and 1, the second one pair at 0.
    assert diversity(lists_NK, vectors_ID) == pytest.approx((2 / 3 + 0) / 2)
    assert diversity(np.array([[3, 4, -1]]), vectors_ID) == 0.0


def test_a_list_holds_the_best_items_without_those_the_user_had() -> None:
    targets = targets_for([{5: 1.0}], seen=[[0, 2]])
    places = judge(Planted(np.arange(NUM_ITEMS, 0, -1)[None, :]), targets, seed=1)
    any_item, new_item = (places[FULL, seen].lists_NK for seen in ("any", "new"))
    assert any_item is not None and any_item[0].tolist() == list(range(10))
    assert new_item is not None and new_item[0].tolist() == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
