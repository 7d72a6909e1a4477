"""A micro-batch taken in groups of profiles ends where one taken at once ends, to the bit."""

import random
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.events.control import identify_event
from mmrec.events.encoding import encode_event
from mmrec.events.to_batch import event_batch
from mmrec.features.values import PackedProfile
from mmrec.scoring.identity import history_of, stub
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile, empty_profile
from mmrec.scoring.together import LoginHistory
from mmrec.stream.judged_batch import Judged, judge_batch
from mmrec.stream.offsets import Offsets
from mmrec.stream.profile_groups import profile_groups
from tests.unit.test_stream import NOW_S, SETTINGS, CrashError, Deployment, event
from tests.unit.test_stream_control import guest_event

PLACE = ("behavior-events", 0)


def mixed(shuffle: random.Random, number: int) -> Deployment:
    """Users, guests, and guests who logged in before some of their events and after others."""
    deployment = Deployment()
    records = deployment.records[PLACE]
    for n in range(number):
        user, guest = f"u{shuffle.randrange(9)}", f"g{shuffle.randrange(6)}"
        if shuffle.random() < 0.1:
            records.append(encode_event(identify_event(event_id=f"l{n}", user_id=user, anonymous_id=guest)))
        elif shuffle.random() < 0.5:
            records.append(guest_event(n, guest, f"i{n % 5}", float(n + 1)))
        else:
            records.append(event(n if shuffle.random() < 0.9 else n // 2, user, item=f"i{n % 5}", age_s=float(n + 1)))
    return deployment


def judged(deployment: Deployment, max_profiles: int, **rules: float) -> Judged:
    return judge_batch(
        deployment.batch({PLACE: 40}, {PLACE: 1_000}),
        deployment.store,
        deployment.store.read_packed,
        recovered=Offsets(),
        from_log=lambda guests, rows: {},
        forgotten=deployment.forgotten,
        config=replace(SETTINGS.scoring, **rules),
        timer=lambda: 0.0,
        max_profiles=max_profiles,
    )


def as_stored(deployment: Deployment, profile: UserProfile | PackedProfile) -> bytes:
    return profile.packed if isinstance(profile, PackedProfile) else deployment.store.packed({"u": profile})["u"].packed


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), max_profiles=st.integers(1, 8), cap_events=st.sampled_from([0, 3]))
def test_groups_give_the_same_bytes_and_verdicts(seed: int, max_profiles: int, cap_events: int) -> None:
    deployment = mixed(random.Random(seed), 100)
    deployment.start().process(deployment.batch({PLACE: 0}, {PLACE: 40}), write_time_s=NOW_S)
    deployment.forgotten.forget("u1", known_time_s=NOW_S + 60)
    whole, parts = (judged(deployment, size, cap_events=cap_events) for size in (1_000, max_profiles))
    np.testing.assert_array_equal(parts.verdicts_N, whole.verdicts_N)
    np.testing.assert_array_equal(parts.logins_known_N, whole.logins_known_N)
    assert parts.num_pruned == whole.num_pruned
    assert parts.profiles.keys() == whole.profiles.keys()
    for key, profile in whole.profiles.items():
        assert as_stored(deployment, parts.profiles[key]) == as_stored(deployment, profile)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), max_profiles=st.integers(1, 8))
def test_every_event_is_in_one_group_with_all_of_its_profile_and_few_profiles_are_at_hand(
    seed: int, max_profiles: int
) -> None:
    deployment = mixed(random.Random(seed), 60)
    columns = event_batch(deployment.batch({PLACE: 0}, {PLACE: 60}).events, SETTINGS.behaviors)
    blank = empty_profile(behaviors=SETTINGS.behaviors, num_half_lives=1)
    users = {"~g0": ["u0"], "~g1": ["u0", "u1", "elsewhere"], "~g2": ["elsewhere"]}
    stubs = {
        guest: stub(blank, LoginHistory.of([(NOW_S + 9.0 * n, user) for n, user in enumerate(names)]))
        for guest, names in users.items()
    }
    asked: list[str] = []

    def read(keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        asked.extend(wanted)
        return {key: pack(stubs.get(key, blank)) for key in wanted}

    groups = list(profile_groups(columns, read, max_profiles=max_profiles))
    rows_N = np.concatenate([group.rows_N for group in groups])
    assert sorted(rows_N.tolist()) == list(range(len(columns)))
    assert len(asked) == len(set(asked))
    group_of: dict[str, int] = {}
    for number, group in enumerate(groups):
        assert np.all(np.diff(group.rows_N) > 0)
        assert len([key for key in group.packed if key not in stubs]) <= max_profiles + len(stubs)
        for key, known_s in zip(group.events.user_keys.tolist(), group.events.known_times_N.tolist(), strict=True):
            history = history_of(stubs.get(key))
            owner = history.owner_at(known_s) if history is not None else key
            assert owner in group.packed
            assert group_of.setdefault(owner, number) == number


def test_progress_says_what_the_store_has_also_after_a_write_that_failed() -> None:
    deployment = mixed(random.Random(1), 60)
    stream = deployment.start()
    stream.process(deployment.batch({PLACE: 0}, {PLACE: 20}), write_time_s=NOW_S)
    before = stream.progress
    deployment.crash_before_profiles = True
    with pytest.raises(CrashError):
        stream.process(deployment.batch({PLACE: 20}, {PLACE: 20}), write_time_s=NOW_S)
    assert stream.progress == before == deployment.store.read_progress()
