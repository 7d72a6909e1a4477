"""Metrics, intervals and the prequential walk against numbers that can be checked by hand."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.evaluation import metrics
from mmrec.evaluation.baselines import DecayedPopularity
from mmrec.evaluation.intervals import clustered_interval
from mmrec.evaluation.prequential import PrequentialConfig, prequential, tune_half_life
from mmrec.scoring.decay import decay
from mmrec.scoring.plain_sum import LedgerEvent


def one_among(num_others: int, draw: Callable[[int], npt.NDArray[np.float64]]) -> npt.NDArray[np.int64]:
    """Ranks of one relevant item among so many others, 20,000 times."""
    generator = np.random.default_rng(4)
    ranks = [metrics.ranks_among(draw(1), draw(num_others), generator=generator) for _ in range(20_000)]
    return np.concatenate(ranks)


def test_a_random_scorer_hits_k_out_of_m_plus_one() -> None:
    ranks = one_among(19, np.random.default_rng(3).random)
    assert metrics.hit_rate(ranks, 5) == pytest.approx(5 / 20, abs=0.01)


def test_a_constant_scorer_gains_nothing_from_ties() -> None:
    ranks = one_among(9, np.zeros)
    assert metrics.hit_rate(ranks, 3) == pytest.approx(3 / 10, abs=0.01)


SCORES = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@given(SCORES, SCORES)
def test_every_relevant_item_is_ranked_among_the_others_alone(relevant: list[int], others: list[int]) -> None:
    ranks = metrics.ranks_among(np.array(relevant, float), np.array(others, float), generator=np.random.default_rng(0))
    for score, rank in zip(relevant, ranks.tolist(), strict=True):
        better, equal = sum(other > score for other in others), others.count(score)
        assert 1 + better <= rank <= 1 + better + equal


def test_scores_that_are_no_numbers_are_not_judged() -> None:
    for relevant, others in (([np.nan], [0.0, 1.0]), ([0.0], [np.inf, 1.0])):
        with pytest.raises(ValueError, match="1 of 3 scores are no numbers; train again"):
            metrics.ranks_among(np.array(relevant), np.array(others), generator=np.random.default_rng(1))


def test_a_constant_scorer_gets_k_of_n_wherever_ranks_are_read() -> None:
    scores_NC = np.full((20_000, 8), 0.5, dtype=np.float32)
    ranks = metrics.ranks_in_rows(scores_NC, scores_NC[:, 3], generator=np.random.default_rng(2))
    assert np.bincount(ranks, minlength=9)[1:] / len(ranks) == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    again = metrics.ranks_in_rows(scores_NC, scores_NC[:, 3], generator=np.random.default_rng(2))
    assert (ranks == again).all(), "one seed gives one result"


@pytest.mark.parametrize(("num_right", "num_wrong", "k"), [(1, 9, 3), (2, 3, 1), (5, 20, 4)])
def test_the_first_of_several_right_items_comes_where_shuffling_puts_it(num_right: int, num_wrong: int, k: int) -> None:
    many = np.full(40_000, num_wrong)
    ranks = metrics.tied_ranks(0 * many, many, generator=np.random.default_rng(5), num_right_x=num_right)
    missed = math.comb(num_wrong, k) / math.comb(num_wrong + num_right, k)
    assert metrics.hit_rate(ranks, k) == pytest.approx(1 - missed, abs=0.012)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6), st.integers(0, 4))
def test_a_rank_in_a_row_lies_between_what_is_better_and_what_is_equal(rows: list[list[int]], own: int) -> None:
    scores_NC = np.array(rows, float)
    ranks = metrics.ranks_in_rows(scores_NC, scores_NC[:, own], generator=np.random.default_rng(0))
    for row, rank in zip(rows, ranks.tolist(), strict=True):
        better, equal = sum(other > row[own] for other in row), row.count(row[own]) - 1
        assert 1 + better <= rank <= 1 + better + equal


def test_no_number_is_last_and_gains_nothing_from_others_that_are_none() -> None:
    scores_NC = np.array([[np.nan] * 4, [1.0, np.nan, 0.0, 0.0], [np.nan, 1.0, 2.0, 3.0]])
    ranks = metrics.ranks_in_rows(scores_NC, scores_NC[:, 0], generator=np.random.default_rng(0))
    assert ranks.tolist() == [4, 2, 4]


def test_ndcg_of_ranks_one_three_and_none() -> None:
    values = metrics.ndcg_at_k(np.array([1, 3, 0, 11]), 10)
    assert values == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_nothing_ranked_is_no_hit() -> None:
    assert metrics.hit_rate(np.zeros(0), 10) == 0.0
    assert metrics.hit_rate(np.array([1, 0, 10, 11]), 10) == 0.5


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
