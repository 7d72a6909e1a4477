"""Behaviors that take others back: subtracting adds a negative weight, cancelling never takes more than was given."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError
from mmrec.scoring.affinity import affinity, net_counts
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.behaviors import Behavior, BehaviorSet
from mmrec.scoring.item_statistics import accumulate, popularity
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source

DAY_S = 86_400.0
NOW_S = 1_760_000_000.0
BEHAVIORS = BehaviorSet(
    (
        Behavior(name="browse", behavior_id=1, weight=1.0),
        Behavior(name="favorite", behavior_id=2, weight=3.0),
        Behavior(name="cart", behavior_id=3, weight=5.0),
        Behavior(name="unfavorite", behavior_id=5, weight=0.0, undo_of="favorite", undo="cancel"),
        Behavior(name="block", behavior_id=6, weight=0.0, undo_of="favorite", undo="cancel"),
        Behavior(name="uncart", behavior_id=7, weight=-4.0, undo_of="cart"),
    )
)
CONFIG = ScoringConfig(behaviors=BEHAVIORS, max_items=0)
Event = tuple[str, str, float]
"""(item, behavior, event time)"""


def batch(events: list[tuple[int, Event]]) -> EventBatch:
    """Events of one user by their number, which is id and offset."""
    number = len(events)
    return EventBatch(
        user_keys=np.array(["u"] * number, dtype=object),
        item_ids=np.array([e[0] for _, e in events], dtype=object),
        behavior_ids_N=np.array([BEHAVIORS.ids_B[BEHAVIORS.index(e[1])] for _, e in events], dtype=np.uint8),
        event_times_N=np.array([e[2] for _, e in events], dtype=np.float64),
        known_times_N=np.full(number, NOW_S),
        ingest_times_N=np.full(number, NOW_S),
        event_hashes_N=event_hashes([str(n) for n, _ in events]),
        sources=(Source("c", "t", 0),),
        source_index_N=np.zeros(number, dtype=np.int32),
        offsets_N=np.array([n for n, _ in events], dtype=np.int64),
    )


def scores(profile: UserProfile, as_of_s: float) -> dict[str, float]:
    values = affinity(
        profile.counts(BEHAVIORS)[:, 0], as_of_s - profile.reference_times_I, BEHAVIORS.weights_B, decay_per_day=0.05
    )
    return dict(zip(profile.item_ids, values.tolist(), strict=True))


def expected(events: list[Event], as_of_s: float) -> dict[str, float]:
    ledger = [
        LedgerEvent(event_id=str(n), user_key="u", item_id=item, behavior=name, event_time_s=time_s)
        for n, (item, name, time_s) in enumerate(events)
    ]
    sums = plain_sum(ledger, behaviors=BEHAVIORS, decay_per_day=0.05, as_of_s=as_of_s)
    return {item: value for (_, item), value in sums.items()}


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["i1", "i2"]),
        st.sampled_from(BEHAVIORS.names),
        st.integers(0, 60).map(lambda days: NOW_S - days * DAY_S),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS, shuffle=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 25), max_size=4))
def test_undo_in_any_order_is_the_plain_sum_and_never_cancels_below_nothing(events, shuffle, cuts) -> None:
    numbered = list(enumerate(events))
    shuffle.shuffle(numbered)
    arriving = [(offset, event) for offset, (_, event) in enumerate(numbered)]
    profiles: dict[str, UserProfile] = {}
    for start, end in itertools.pairwise(sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})):
        profiles.update(apply(profiles, batch(arriving[start:end]), config=CONFIG).profiles)
    for as_of_s in (NOW_S, NOW_S + 30 * DAY_S):
        found = scores(profiles["u"], as_of_s) if events else {}
        assert found == pytest.approx(expected(events, as_of_s), rel=1e-9, abs=1e-12)
        # Whatever cancels, what the other behaviors gave stays.
        others = [event for event in events if event[1] not in {"favorite", "unfavorite", "block"}]
        floor = expected(others, as_of_s)
        assert all(value >= floor.get(item, 0.0) - 1e-12 for item, value in found.items())


def test_cancelling_takes_one_back_and_subtracting_its_own_weight() -> None:
    day = NOW_S - DAY_S
    taken = [("i", "favorite", day), ("i", "unfavorite", day), ("i", "unfavorite", day), ("i", "browse", day)]
    assert scores(apply({}, batch(list(enumerate(taken))), config=CONFIG).profiles["u"], day) == {"i": 1.0}
    below = [("i", "cart", day), ("i", "uncart", day), ("i", "uncart", day)]
    assert scores(apply({}, batch(list(enumerate(below))), config=CONFIG).profiles["u"], day) == {"i": -3.0}


@given(st.lists(st.floats(0, 9), min_size=12, max_size=12), st.floats(0, 1))
def test_net_counts_decay_as_counts_do_and_are_net_once(raw, left) -> None:
    counts_IB = np.array(raw).reshape(2, 6)
    net_IB = net_counts(counts_IB, BEHAVIORS.cancels)
    np.testing.assert_array_equal(net_counts(net_IB, BEHAVIORS.cancels), net_IB)
    np.testing.assert_allclose(net_counts(counts_IB * left, BEHAVIORS.cancels), net_IB * left, rtol=1e-9, atol=1e-12)
    assert net_IB.min() >= 0


def test_cancelled_items_lose_their_popularity() -> None:
    events = [("i1", "favorite", NOW_S), ("i1", "unfavorite", NOW_S), ("i2", "favorite", NOW_S)]
    table = accumulate({}, batch(list(enumerate(events))), half_lives_days=(7.0,), behavior_ids_B=BEHAVIORS.ids_B)
    item_ids, values = popularity(table, behaviors=BEHAVIORS, half_lives_days=(7.0,), as_of_s=NOW_S)
    assert dict(zip(item_ids, values.tolist(), strict=True)) == {"i1": 0.0, "i2": 3.0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"undo": "cancels", "undo_of": "cart"}, "known: cancel, subtract"),
        ({"undo": "cancel", "undo_of": "cart", "weight": -1.0}, "has weight 0"),
        ({"undo": "cancel"}, "names another one"),
        ({"undo_of": "cart", "weight": 1.0}, "give 0 or less"),
        ({"undo_of": "nothing"}, "not one of"),
        ({"undo_of": "uncart"}, "undo what adds"),
    ],
)
def test_an_undo_that_cannot_be_is_refused(wrong, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        BehaviorSet((*BEHAVIORS.behaviors, Behavior(**{"name": "x", "behavior_id": 9, "weight": 0.0, **wrong})))
