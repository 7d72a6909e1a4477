"""Metrics, intervals and the prequential walk against numbers that can be checked by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.evaluation import metrics
from mmrec.evaluation.baselines import DecayedPopularity
from mmrec.evaluation.intervals import clustered_interval
from mmrec.evaluation.prequential import PrequentialConfig, prequential, tune_half_life
from mmrec.scoring.decay import decay
from mmrec.scoring.plain_sum import LedgerEvent


def test_a_random_scorer_hits_k_out_of_m_plus_one() -> None:
    generator = np.random.default_rng(3)
    ranks = metrics.rank_among(generator.random((40_000, 20)), generator=generator)
    assert metrics.hits_at_k(ranks, 5).mean() == pytest.approx(5 / 20, abs=0.01)


def test_a_constant_scorer_gains_nothing_from_ties() -> None:
    ranks = metrics.rank_among(np.zeros((40_000, 10)), generator=np.random.default_rng(4))
    assert metrics.hits_at_k(ranks, 3).mean() == pytest.approx(3 / 10, abs=0.01)


def test_ndcg_of_ranks_one_three_and_none() -> None:
    values = metrics.ndcg_at_k(np.array([1, 3, 0, 11]), 10)
    assert values == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_reciprocal_ranks_are_zero_off_the_list() -> None:
    assert metrics.reciprocal_ranks(np.array([1, 4, 0])) == pytest.approx([1.0, 0.25, 0.0])


def test_recall_counts_shares_of_what_is_relevant_and_precision_of_what_is_shown() -> None:
    assert metrics.recall_at_k(["a", "b", "c"], {"a", "c", "x", "y"}, 3) == pytest.approx(0.5)
    assert metrics.precision_at_k(["a", "b", "c", "d"], {"a", "c"}, 4) == pytest.approx(0.5)
    assert math.isnan(metrics.recall_at_k(["a"], set(), 1))


def test_auc_of_separated_equal_and_reversed_scores() -> None:
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert metrics.auc(high, low) == 1.0
    assert metrics.auc(low, high) == 0.0
    assert metrics.auc(np.ones(3), np.ones(4)) == 0.5


def test_coverage_is_the_share_of_items_on_any_list() -> None:
    assert metrics.coverage([["a", "b"], ["b"]], num_items=4) == 0.5


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 1e8)), min_size=1, max_size=60))
def test_decayed_popularity_in_any_order_is_the_plain_sum(events: list[tuple[str, float]]) -> None:
    popularity = DecayedPopularity(decay_per_day=0.05)
    for item_id, time_s in events:
        popularity.add(item_id, event_time_s=time_s)
    end_s = max(time_s for _, time_s in events)
    expected: dict[str, float] = {}
    for item_id, time_s in events:
        expected[item_id] = expected.get(item_id, 0.0) + decay(end_s - time_s, decay_per_day=0.05)
    top = popularity.top(5)
    values = [expected[item_id] for item_id in top]
    assert set(top) == set(expected)
    assert all(a >= b * (1 - 1e-9) for a, b in itertools.pairwise(values))


def test_excluded_items_make_room_for_the_next_ones() -> None:
    popularity = DecayedPopularity(decay_per_day=0.0)
    for item_id, count in (("a", 3), ("b", 2), ("c", 1)):
        for _ in range(count):
            popularity.add(item_id, event_time_s=0.0)
    assert popularity.top(2, excluded={"a"}) == ["b", "c"]


def test_the_interval_of_a_constant_is_that_constant() -> None:
    interval = clustered_interval(np.full(10, 0.25), ["u", "v"] * 5, seed=1)
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)
    assert interval.num_clusters == 2


def test_one_loud_user_widens_the_interval() -> None:
    values = np.array([1.0] * 50 + [0.0] * 50)
    spread = clustered_interval(values, [f"u{i}" for i in range(100)], seed=1)
    loud = clustered_interval(values, ["loud"] * 50 + [f"u{i}" for i in range(50)], seed=1)
    assert loud.high - loud.low > spread.high - spread.low


def _event(number: int, user: str, item: str) -> LedgerEvent:
    return LedgerEvent(
        event_id=str(number), user_key=user, item_id=item, behavior="like", event_time_s=float(number) * 3_600
    )


def test_each_event_is_asked_before_it_is_learned_and_first_events_are_not_asked() -> None:
    past = [_event(0, "u", "a")]
    live = [_event(1, "v", "a"), _event(2, "u", "b"), _event(3, "v", "b"), _event(4, "v", "b")]
    known: list[str] = []
    asked: list[tuple[str, int]] = []

    def recommend(event: LedgerEvent, hidden: frozenset[str]) -> list[str]:
        asked.append((event.event_id, len(known)))
        assert event.item_id not in hidden
        return ["b"]

    result = prequential(
        past,
        live,
        recommend=recommend,
        learn=lambda event: known.append(event.event_id),
        config=PrequentialConfig(target_behaviors=("like",)),
        half_life_days=30.0,
    )
    # v's first event is learned only; v's repeat of "b" is a seen item and is not asked.
    assert asked == [("2", 1), ("3", 2)]
    assert known == ["1", "2", "3", "4"]
    assert result.num_events == 2
    assert result.hr_at_10 == 1.0
    assert result.hr_at_10_popularity == 0.5


def test_the_half_life_follows_a_world_whose_taste_changes_every_day() -> None:
    users = [f"u{i}" for i in range(30)]
    events = []
    for day in range(40):
        for number, user in enumerate(users):
            events.append(
                LedgerEvent(
                    event_id=f"{day}-{number}",
                    user_key=user,
                    item_id=f"day-{day}",
                    behavior="like",
                    event_time_s=day * 86_400.0 + number,
                )
            )
    config = PrequentialConfig(target_behaviors=("like",), list_length=1, exclude_seen=False)
    assert tune_half_life(events, config=config, choices_days=(365.0, 0.25)) == 0.25
