"""Neighbors: the fast build equals its definition, and a planted world gives its own pairs back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError
from mmrec.features.values import Neighbors
from mmrec.recall.neighbors import NeighborSettings, build_neighbors
from mmrec.recall.neighbors_reference import neighbor_scores, neighbor_weights
from mmrec.scoring.behaviors import shop_behaviors

BEHAVIORS = shop_behaviors()
NOW_S = 1_767_225_600.0
Event = tuple[str, str, str, float]


def table(events: list[Event]) -> pa.Table:
    users, items, behaviors, times = zip(*events, strict=True) if events else ((), (), (), ())
    return pa.table(
        {
            "user_key": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "behavior": pa.array(behaviors, pa.string()),
            "event_time_s": pa.array(times, pa.float64()),
        }
    )


def built(events: list[Event], config: NeighborSettings) -> dict[tuple[str, str], float]:
    found = build_neighbors(table(events), behaviors=BEHAVIORS, as_of_s=NOW_S, settings=config)
    return {
        (item, other): float(weight)
        for item, near in found.items()
        for other, weight in zip(near.item_ids, near.weights_K, strict=True)
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("uvw"),
            st.sampled_from("abcdef"),
            st.sampled_from(["browse", "purchase", "mystery"]),
            st.integers(-40, 0).map(lambda days: NOW_S + 86_400.0 * days),
        ),
        max_size=30,
    ),
    st.builds(
        NeighborSettings,
        max_history=st.integers(2, 6),
        backward=st.sampled_from([0.0, 0.5, 1.0]),
        user_discount=st.sampled_from([0.0, 0.5]),
        popularity_discount=st.sampled_from([0.5, 1.0]),
        shrinkage=st.sampled_from([0.0, 2.0]),
        position_scale=st.sampled_from([1.0, 20.0]),
    ),
)
def test_the_fast_build_is_the_definition(events: list[Event], config: NeighborSettings) -> None:
    expected = neighbor_weights(events, behaviors=BEHAVIORS, as_of_s=NOW_S, settings=config)
    assert built(events, config) == pytest.approx(dict(expected), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_log_changes_nothing(random: object) -> None:
    events = [(f"u{n % 5}", f"i{n * 7 % 11}", "cart", NOW_S - 3600.0 * n) for n in range(40)]
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert built(shuffled, NeighborSettings()) == pytest.approx(built(events, NeighborSettings()))


def test_even_users_like_even_items() -> None:
    random = np.random.default_rng(3)
    events = [
        (f"u{user}", f"i{2 * random.integers(0, 10) + user % 2}", "cart", NOW_S - float(random.integers(0, 10**6)))
        for user in range(100)
        for _ in range(8)
    ]
    found = build_neighbors(table(events), behaviors=BEHAVIORS, as_of_s=NOW_S)
    assert len(found) == 20
    for item_id, near in found.items():
        assert len(near.item_ids) == 9
        assert {int(other[1:]) % 2 for other in near.item_ids} == {int(item_id[1:]) % 2}
        assert (np.diff(near.weights_K) <= 0).all()


def test_stronger_fresher_and_nearer_pairs_weigh_more() -> None:
    day = 86_400.0
    events = [
        ("u", "a", "purchase", NOW_S - 3),
        ("u", "strong", "purchase", NOW_S - 2),
        ("v", "a", "purchase", NOW_S - 3),
        ("v", "weak", "browse", NOW_S - 2),
        ("w", "a", "purchase", NOW_S - 100 * day - 3),
        ("w", "old", "purchase", NOW_S - 100 * day - 2),
        ("x", "a", "purchase", NOW_S - 9),
        *(("x", f"between{n}", "purchase", NOW_S - 8) for n in range(30)),
        ("x", "far", "purchase", NOW_S - 1),
    ]
    weights = built(events, NeighborSettings(user_discount=0.0, decay_per_day=0.05))
    assert weights["a", "strong"] > weights["a", "weak"]
    assert weights["a", "strong"] > weights["a", "old"]
    assert weights["a", "strong"] > weights["a", "far"]
    assert weights["a", "strong"] > weights["strong", "a"]


def test_only_the_newest_of_a_long_history_are_paired_and_only_the_best_kept() -> None:
    events = [("u", f"i{n:03d}", "browse", NOW_S - 1000 + n) for n in range(300)]
    found = build_neighbors(
        table(events), behaviors=BEHAVIORS, as_of_s=NOW_S, settings=NeighborSettings(max_history=20, num_neighbors=3)
    )
    assert sorted(found) == [f"i{n:03d}" for n in range(280, 300)]
    assert {len(near.item_ids) for near in found.values()} == {3}
    assert found["i290"].item_ids[0] == "i291"


def test_an_empty_log_has_no_neighbors() -> None:
    assert build_neighbors(table([]), behaviors=BEHAVIORS, as_of_s=NOW_S) == {}
    assert build_neighbors(table([("u", "a", "mystery", NOW_S)]), behaviors=BEHAVIORS, as_of_s=NOW_S) == {}


def test_a_score_is_the_sum_of_affinity_times_weight() -> None:
    neighbors = {
        "a": Neighbors(item_ids=("x", "y"), weights_K=np.array([0.5, 0.25], np.float32), built_time_s=NOW_S),
        "b": Neighbors(item_ids=("y",), weights_K=np.array([1.0], np.float32), built_time_s=NOW_S),
    }
    scores = neighbor_scores({"a": 4.0, "b": 2.0, "c": 9.0}, neighbors, ["x", "y", "z", "y"])
    assert scores.tolist() == [2.0, 3.0, 0.0, 3.0]


def test_impossible_settings_cannot_be_built() -> None:
    with pytest.raises(ConfigurationError, match="max_history >= 2"):
        NeighborSettings(max_history=1)
    with pytest.raises(ConfigurationError, match="must not be negative"):
        NeighborSettings(shrinkage=-1.0)
