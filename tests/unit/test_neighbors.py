"""Neighbors: the fast build equals its definition, and a planted world gives its own pairs back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError, SettingError
from mmrec.features.values import Neighbors
from mmrec.recall.neighbors import NeighborSettings, build_neighbors
from mmrec.recall.neighbors_reference import item_pulls, neighbor_scores, neighbor_weights
from mmrec.recall.pull import pulls
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.settings import ScoringConfig

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


OWN = st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(-3, 30), st.integers(0, 6)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(OWN, st.sampled_from([0.0, 0.05, 2.0]), st.sampled_from([0.3, 0.8, 1.0]))
def test_fast_pulls_are_the_definition(
    own: dict[str, tuple[int, int]], decay_per_day: float, order_decay: float
) -> None:
    times = {item: (float(strength), NOW_S - 86_400.0 * days) for item, (strength, days) in own.items()}
    expected = item_pulls(times, as_of_s=NOW_S, decay_per_day=decay_per_day, order_decay=order_decay)
    strengths_J = np.array([strength for strength, _ in times.values()])
    ages_J = np.array([NOW_S - time_s for _, time_s in times.values()])
    found = pulls(strengths_J, ages_J, decay_per_day=decay_per_day, order_decay=order_decay)
    assert found == pytest.approx([expected[item] for item in times], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=12), st.floats(0.2, 1.0), st.floats(0.1, 1000.0))
def test_order_pulls_alike_however_far_apart_in_time_events_lie(
    days: list[int], order_decay: float, stretched: float
) -> None:
    ages_J = np.array(days, dtype=np.float64) * 86_400.0
    near, far = (
        pulls(np.ones(len(days)), ages, decay_per_day=0.0, order_decay=order_decay)
        for ages in (ages_J, ages_J * stretched)
    )
    assert (near == far).all()
    by_age = near[np.argsort(ages_J, kind="stable")]
    assert by_age[0] == 1.0
    assert (np.diff(by_age) <= 0).all()
    equal = ages_J[:, None] == ages_J[None, :]
    assert (np.abs(near[:, None] - near[None, :])[equal] == 0).all(), "items of one instant pull alike"


def test_what_came_last_decides_between_neighbors_of_equal_weight() -> None:
    """A user bought a, then b, within a minute: what follows b comes first, whatever the age of both."""
    neighbors = {
        "a": Neighbors(item_ids=("after a",), weights_K=np.array([0.5], np.float32), built_time_s=NOW_S),
        "b": Neighbors(item_ids=("after b",), weights_K=np.array([0.5], np.float32), built_time_s=NOW_S),
    }
    for age_s in (60.0, 300 * 86_400.0):
        own = {"a": (10.0, NOW_S - age_s - 30), "b": (10.0, NOW_S - age_s)}
        pulled = item_pulls(own, as_of_s=NOW_S, decay_per_day=0.05, order_decay=0.8)
        after_a, after_b = neighbor_scores(pulled, neighbors, ["after a", "after b"])
        assert after_a < 0.85 * after_b


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("neighbor_order_decay", 0.0, "neighbor_order_decay is 0.0"),
        ("neighbor_order_decay", 1.2, "neighbor_order_decay is 1.2"),
        ("neighbor_decay_per_day", -0.1, "neighbor_decay_per_day is -0.1"),
    ],
)
def test_decays_of_the_history_have_a_range(setting: str, value: float, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        ScoringConfig(behaviors=BEHAVIORS, **{setting: value})


def test_a_score_is_the_sum_of_pull_times_weight() -> None:
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
