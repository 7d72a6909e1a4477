"""*apply* on packed profiles gives the bytes and verdicts that *apply* gives, whoever is plain."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import IncompatibleStateError
from mmrec.scoring.apply import apply
from mmrec.scoring.apply_packed import apply_packed
from mmrec.scoring.batch import NO_SOURCE, EventBatch, event_hashes
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.identity import Reading, history_of, identify
from mmrec.scoring.packed_columns import Axes, columns_of, packed_of
from mmrec.scoring.packing import guests_of, pack, stub_of, unpack
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.together import LoginHistory

NOW_S = 1_760_000_000.0
DAY_S = 86_400.0
SHOP = shop_behaviors()
CONFIG = ScoringConfig(behaviors=SHOP)
SOURCES = (Source("c", "t", 1), Source("c", "t", 0), Source("c", "other", 0))
USERS = ("ann", "bob", "~x", "ünal")


def batch(rows: list[tuple], first_offset: int) -> EventBatch:
    """Rows of (user, item, behavior, event age, ingest step, source, event id), offsets as they come."""
    users, items, names, ages, steps, sources, ids = zip(*rows, strict=True)
    ingest_N = NOW_S + np.cumsum(steps, dtype=np.float64)
    return EventBatch(
        user_keys=np.array(users, dtype=object),
        item_ids=np.array(items, dtype=object),
        behavior_ids_N=np.array([SHOP.ids_B[SHOP.index(name)] for name in names], dtype=np.uint8),
        event_times_N=ingest_N - np.array(ages),
        known_times_N=ingest_N,
        ingest_times_N=ingest_N,
        event_hashes_N=event_hashes([f"e{n}" for n in ids]),
        sources=SOURCES,
        source_index_N=np.array(sources, dtype=np.int32),
        offsets_N=np.arange(first_offset, first_offset + len(rows)),
    )


ROWS = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from(["i1", "i2", "i3", "i11", "ä"]),
        st.sampled_from(SHOP.names),
        st.sampled_from([0.0, 1.0, 5.0, 3 * DAY_S, 500 * DAY_S]),
        st.sampled_from([0.0, 1.0, 1.0, 100.0, DAY_S]),
        st.sampled_from([0, 0, 0, 0, 1, 2, NO_SOURCE]),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=25,
)
CONFIGS = st.builds(
    lambda **given: ScoringConfig(behaviors=SHOP, **given),
    max_items=st.sampled_from([0, 2, 256]),
    max_recent=st.sampled_from([1, 3, 50]),
    ring_size=st.sampled_from([0, 3, 8, 512]),
    ring_window_s=st.sampled_from([50.0, 7 * DAY_S]),
    idle_horizon_s=st.sampled_from([0.0, 400 * DAY_S]),
    cap_events=st.sampled_from([0, 0, 0, 2]),
    decay_per_day=st.sampled_from([(0.05,), (0.05, 1.0)]),
)


@settings(max_examples=120, deadline=None)
@given(
    batches=st.lists(ROWS, min_size=1, max_size=4),
    config=CONFIGS,
    login=st.booleans(),
    replay=st.booleans(),
    with_caps=st.booleans(),
)
def test_packed_and_plain_profiles_end_the_same(batches, config, login, replay, with_caps) -> None:
    profiles, packed, offset = {}, {}, 0
    for number, rows in enumerate(batches):
        events = batch(rows, offset)
        forgotten = {"bob": NOW_S} if number == 1 else {}
        one = apply(profiles, events, config=config, forgotten=forgotten, with_caps=with_caps)
        other = apply_packed(packed, events, config=config, forgotten=forgotten, with_caps=with_caps)
        assert other.verdicts_N.tolist() == one.verdicts_N.tolist()
        assert other.packed() == {key: pack(profile) for key, profile in one.profiles.items()}
        pruned = {key: profiles[key].num_pruned_items for key in one.profiles if key in profiles}
        assert other.num_pruned == sum(p.num_pruned_items - pruned.get(key, 0) for key, p in one.profiles.items())
        profiles.update(one.profiles)
        if login and number == 0:
            logins = {"~x": [(0.0, "ann"), (NOW_S, "bob")]}
            profiles.update(identify(profiles, logins, config=config, reading=Reading.PASSING).profiles)
        packed = {key: pack(profile) for key, profile in profiles.items()}
        offset += 0 if replay and number == 1 else len(rows)


def test_many_plain_users_are_taken_in_chunks() -> None:
    rows = [(f"u{n % 9_000:05d}", f"i{n % 50}", "cart", float(n % 7), 0.25, n % 9_000 % 2, n) for n in range(30_000)]
    events = batch(rows, 0)
    one, other = apply({}, events, config=CONFIG), apply_packed({}, events, config=CONFIG)
    assert not other.profiles
    assert len(other.columns) > 1
    assert other.packed() == {key: pack(profile) for key, profile in one.profiles.items()}
    assert other.verdicts_N.tolist() == one.verdicts_N.tolist()


def test_a_repeat_in_the_ring_or_in_the_batch_is_found_in_columns() -> None:
    first = apply_packed({}, batch([("ann", "i1", "cart", 0.0, 1.0, 0, 7)], 0), config=CONFIG)
    rows = [("ann", "i1", "cart", 0.0, 9.0, 0, 7), *[("ann", "i2", "browse", 0.0, 1.0, 0, 8)] * 2]
    second = apply_packed(first.packed(), batch(rows, 1), config=CONFIG)
    assert [len(columns) for _, columns in second.columns] == [1]
    assert second.verdicts_N.tolist() == [1, 0, 1]
    assert unpack(second.packed()["ann"]).num_events == 2


def test_columns_are_the_same_bytes_again() -> None:
    rows = [(user, f"i{n}", "cart", float(n), 1.0, 0, n) for n in range(70) for user in USERS[: n % 4]]
    data = [pack(profile) for profile in apply({}, batch(rows, 0), config=CONFIG).profiles.values()]
    axes = Axes(num_rates=1, behavior_ids_B=SHOP.ids_B)
    assert packed_of(columns_of(data, axes)) == data


def test_stubs_name_whom_they_belong_to() -> None:
    profiles = apply({}, batch([("~x", "i1", "cart", 0.0, 1.0, 0, 1)], 0), config=CONFIG).profiles
    found = identify(profiles, {"~x": [(0.0, "ann")]}, config=CONFIG).profiles
    assert history_of(stub_of(pack(found["~x"]))) == LoginHistory(("ann",), (0.0,), (0.0,))
    assert stub_of(pack(found["ann"])) is stub_of(pack(profiles["~x"])) is None


def test_a_packed_profile_names_its_guests_without_being_unpacked() -> None:
    events = [("ann", f"i{n}", "cart", 0.0, 1.0, 0, n) for n in range(3)]
    alone = apply({}, batch([*events, ("~x", "i1", "cart", 0.0, 1.0, 1, 9)], 0), config=CONFIG).profiles
    named = identify(alone, {"~x": [(0.0, "ann")], "~ü": [(1.0, "ann")]}, config=CONFIG).profiles
    for profile in (*alone.values(), *named.values()):
        assert guests_of(pack(profile)) == profile.merged_from
    assert named["ann"].merged_from == ("~x", "~ü")
    with pytest.raises(IncompatibleStateError, match="no packed profile"):
        guests_of(b"nothing")


def test_a_profile_of_other_half_lives_is_refused() -> None:
    stored = {
        key: pack(p)
        for key, p in apply({}, batch([("ann", "i1", "cart", 0.0, 1.0, 0, 1)], 0), config=CONFIG).profiles.items()
    }
    with pytest.raises(IncompatibleStateError, match="1 half-lives"):
        apply_packed(
            stored, batch([("ann", "i1", "cart", 0.0, 1.0, 0, 2)], 5), config=replace(CONFIG, decay_per_day=(0.1, 1.0))
        )
