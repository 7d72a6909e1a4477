"""Laws of rate caps, the bot rule, logins and forgetting: functions of a profile's events, whatever the batches."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError
from mmrec.scoring.affinity import affinity
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.identity import Reading, history_of, identify, keys_to_read, targets_to_read
from mmrec.scoring.marks import MAX_SOURCES, joined, moved
from mmrec.scoring.names import Names
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum
from mmrec.scoring.profile import UserProfile, empty_profile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.together import LoginHistory
from mmrec.scoring.verdicts import Verdict

DAY_S = 86_400.0
NOW_S = 1_760_000_040.0
SHOP = shop_behaviors()
SOURCES = (Source("c", "t", 0), Source("c", "t", 1))
CAPPED = ScoringConfig(behaviors=SHOP, cap_events=3, cap_window_s=60.0, bot_windows=2, bot_quiet_s=300.0)
FREE = ScoringConfig(behaviors=SHOP, max_items=0, decay_per_day=(0.05, 2.0), idle_horizon_s=0.0)
Event = tuple[str, str, str, str, float, float]
"""(event id, profile key, item, behavior, event time, ingest time)"""


def batch(events: list[Event], places: list[tuple[int, int]], exempt: set[str] = frozenset()) -> EventBatch:
    return EventBatch(
        user_keys=np.array([e[1] for e in events], dtype=object),
        item_ids=np.array([e[2] for e in events], dtype=object),
        behavior_ids_N=np.array([SHOP.ids_B[SHOP.index(e[3])] for e in events], dtype=np.uint8),
        event_times_N=np.array([e[4] for e in events], dtype=np.float64),
        known_times_N=np.array([e[5] for e in events], dtype=np.float64),
        ingest_times_N=np.array([e[5] for e in events], dtype=np.float64),
        event_hashes_N=event_hashes([e[0] for e in events]),
        sources=SOURCES,
        source_index_N=np.array([source for source, _ in places], dtype=np.int32),
        offsets_N=np.array([offset for _, offset in places], dtype=np.int64),
        exempt_N=np.array([e[0] in exempt for e in events], dtype=np.bool_),
    )


def clicks(times_s: list[float], first: int = 0) -> list[Event]:
    return [(f"e{first + n}", "ann", "i", "browse", NOW_S + s, NOW_S + s) for n, s in enumerate(times_s)]


def in_one_source(events: list[Event], first: int = 0) -> list[tuple[int, int]]:
    return [(0, first + n) for n in range(len(events))]


def verdicts(events: list[Event], edges: list[int], config: ScoringConfig = CAPPED) -> tuple[list[int], bytes]:
    profiles: dict[str, UserProfile] = {}
    found: list[int] = []
    for start, end in itertools.pairwise(sorted({0, len(events), *(min(e, len(events)) for e in edges)})):
        applied = apply(profiles, batch(events[start:end], in_one_source(events)[start:end]), config=config)
        profiles.update({key: unpack(pack(profile)) for key, profile in applied.profiles.items()})
        found += applied.verdicts_N.tolist()
    return found, b"".join(pack(profile) for profile in profiles.values())


GAPS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 5.0, 21.0, 70.0, 400.0]), st.integers(0, 30)), max_size=40)


@settings(max_examples=80, deadline=None)
@given(raw=GAPS, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_caps_say_the_same_however_events_are_cut_into_batches(raw, cuts) -> None:
    times_s = list(itertools.accumulate(gap for gap, _ in raw))
    events = [(f"e{n}", "ann", "i", "browse", NOW_S, NOW_S + s) for (_, n), s in zip(raw, times_s, strict=True)]
    whole, profile = verdicts(events, [])
    assert verdicts(events, cuts) == (whole, profile)
    # A profile built anew from what was accepted has the same windows, so it judges the next event alike.
    kept = [(event, n) for n, event in enumerate(events) if whole[n] == Verdict.ACCEPTED]
    if kept:
        again = apply({}, batch([e for e, _ in kept], [(0, n) for _, n in kept]), config=CAPPED, with_caps=False)
        assert set(again.verdicts_N.tolist()) == {Verdict.ACCEPTED}
        rebuilt, live = again.profiles["ann"], unpack(profile)
        for name in ("window_start_s", "window_events", "full_windows", "bot_until_s", "num_events"):
            assert getattr(rebuilt, name) == getattr(live, name)


def test_a_window_takes_its_cap_and_full_windows_in_a_row_make_a_bot() -> None:
    events = clicks([0, 1, 2, 3, 60, 61, 62, 63, 361, 362])
    A, C, B = int(Verdict.ACCEPTED), int(Verdict.CAPPED), int(Verdict.BOT)
    assert verdicts(events, [])[0] == [A, A, A, C, A, A, A, B, B, A]
    assert verdicts(events, [], replace(CAPPED, bot_windows=0))[0] == [A, A, A, C, A, A, A, C, A, A]
    assert set(verdicts(events, [], replace(CAPPED, bot_windows=0, cap_events=0))[0]) == {A}
    with pytest.raises(ConfigurationError, match="set cap_events"):
        replace(CAPPED, cap_events=0)


def test_a_bot_that_is_quiet_for_ever_is_never_heard_again() -> None:
    events = clicks([0, 1, 2, 3, 60, 61, 62, 63, 361, 1e9])
    A, C, B = int(Verdict.ACCEPTED), int(Verdict.CAPPED), int(Verdict.BOT)
    endless = replace(CAPPED, bot_quiet_s=math.inf)
    assert verdicts(events, [], endless)[0] == [A, A, A, C, A, A, A, B, B, B]
    assert verdicts(events, [3, 8], endless) == verdicts(events, [], endless)


def test_without_bounds_in_time_ids_are_remembered_and_items_are_kept_whatever_their_age() -> None:
    endless = replace(FREE, ring_window_s=math.inf, idle_horizon_s=math.inf)
    instants = [("a", NOW_S), ("b", NOW_S + 4_000 * DAY_S), ("a", NOW_S + 4_000 * DAY_S)]
    events = [(name, "ann", name, "cart", at_s, at_s) for name, at_s in instants]
    applied = apply({}, batch(events, in_one_source(events)), config=endless)
    assert applied.verdicts_N.tolist() == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert set(applied.profiles["ann"].item_ids) == {"a", "b"}


def test_repeats_use_no_cap_and_what_is_submitted_again_counts_once() -> None:
    events = [*clicks([0, 1]), *clicks([2]), *clicks([3, 4], first=2)]  # the third is the first one again
    applied = apply({}, batch(events, in_one_source(events)), config=CAPPED)
    assert applied.verdicts_N.tolist() == [Verdict.ACCEPTED] * 2 + [Verdict.DUPLICATE, Verdict.ACCEPTED, Verdict.CAPPED]
    capped = [events[-1], events[-1]]
    again = apply(applied.profiles, batch(capped, [(0, 7), (0, 8)], {capped[0][0]}), config=CAPPED)
    assert again.verdicts_N.tolist() == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert again.profiles["ann"].num_events == 4
    assert again.profiles["ann"].window_events == 3


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "~x", "~y"]),
        st.sampled_from(["i1", "i2", "i3"]),
        st.sampled_from(SHOP.names),
        st.floats(0.0, 60 * DAY_S),
        st.integers(0, 3),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(
    raw=EVENTS,
    shuffle=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 30), max_size=5),
    logins=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["~x", "~y"])), max_size=4),
)
def test_a_login_at_any_point_gives_the_plain_sum_over_both_keys(raw, shuffle, cuts, logins) -> None:
    events = [
        (f"{key}-{n}", key, item, name, NOW_S - age, NOW_S + n) for n, (key, item, name, age, _) in enumerate(raw)
    ]
    places = [(0 if key == "ann" else 1, offset) for offset, (key, *_) in enumerate(raw)]
    edges = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    profiles: dict[str, UserProfile] = {}
    owners = {"~x": "~x", "~y": "~y", "ann": "ann"}
    for number, (start, end) in enumerate(itertools.pairwise([*edges, len(events)])):
        order = list(range(start, end))
        again = [n for n in range(start) if shuffle.random() < 0.2]  # delivered once more
        order = [*again, *order]
        shuffle.shuffle(order)
        handed = batch([events[n] for n in order], [places[n] for n in order])
        assert not targets_to_read(profiles)
        applied = apply(profiles, handed, config=FREE)
        profiles.update(applied.profiles)
        known = {n for n in order if n >= start}
        assert {n for n, v in zip(order, applied.verdicts_N, strict=True) if v == Verdict.ACCEPTED} == known
        at_end = {guest: [(NOW_S + number, "ann")] for at, guest in logins if at == number}
        read = {key: profiles[key] for key in keys_to_read(at_end) if key in profiles}
        brought = identify(read, at_end, config=FREE)
        assert not brought.unclear
        profiles.update({key: unpack(pack(profile)) for key, profile in brought.profiles.items()})
        assert not identify(profiles, at_end, config=FREE).profiles
        owners.update(dict.fromkeys(at_end, "ann"))
    ledger = [
        LedgerEvent(event_id=e[0], user_key=owners[e[1]], item_id=e[2], behavior=e[3], event_time_s=e[4])
        for e in events
    ]
    as_of_s = NOW_S + 3 * DAY_S
    for half_life, rate in enumerate(FREE.decay_per_day):
        expected = plain_sum(ledger, behaviors=SHOP, decay_per_day=rate, as_of_s=as_of_s)
        found = {}
        for key, profile in profiles.items():
            values = affinity(
                profile.counts(SHOP)[:, half_life],
                as_of_s - profile.reference_times_I,
                SHOP.weights_B,
                decay_per_day=rate,
            )
            found.update({(key, i): v for i, v in zip(profile.item_ids, values.tolist(), strict=True)})
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if "ann" in profiles:
        mine = sorted((e[4], e[5], e[2]) for e in events if owners[e[1]] == "ann")
        assert profiles["ann"].num_events == len(mine)
        assert profiles["ann"].recent_event_times_L.tolist() == [time_s for time_s, *_ in mine]


def test_another_login_re_points_the_stub_and_older_events_stay_where_they_counted() -> None:
    events = [(f"e{n}", "~x", "i", "browse", NOW_S, NOW_S + n) for n in range(3)]
    places = [(1, n) for n in range(3)]
    profiles = dict(apply({}, batch(events[:1], places[:1]), config=FREE).profiles)
    profiles.update(identify(profiles, {"~x": [(NOW_S + 0.5, "ann")]}, config=FREE).profiles)
    profiles.update(apply(profiles, batch(events[:2], places[:2]), config=FREE).profiles)
    profiles.update(identify(profiles, {"~x": [(NOW_S + 1.5, "bob")]}, config=FREE).profiles)
    applied = apply(profiles, batch(events, places), config=FREE)
    assert applied.verdicts_N.tolist() == [Verdict.ALREADY_APPLIED, Verdict.ALREADY_APPLIED, Verdict.ACCEPTED]
    profiles.update(applied.profiles)
    assert (profiles["ann"].num_events, profiles["bob"].num_events, profiles["~x"].num_events) == (2, 1, 0)
    assert (profiles["~x"].merged_into, profiles["ann"].merged_from, profiles["bob"].merged_from) == (
        "bob",
        ("~x",),
        ("~x",),
    )
    assert targets_to_read({"~x": profiles["~x"]}) == ["ann", "bob"]
    assert history_of(profiles["~x"]) == LoginHistory(
        ("ann", "bob"), (NOW_S + 0.5, NOW_S + 1.5), (NOW_S + 0.5, NOW_S + 1.5)
    )


def test_events_of_the_forgotten_change_nothing_and_later_ones_begin_anew() -> None:
    events = [(f"e{n}", key, "i", "browse", NOW_S, NOW_S + n) for n, key in enumerate(["ann", "~x", "ann", "bob"])]
    stub = identify({}, {"~x": [(NOW_S, "ann")]}, config=FREE).profiles["~x"]
    forgotten = {"ann": NOW_S + 1, "~x": NOW_S + 1}
    applied = apply({"~x": stub}, batch(events, in_one_source(events)), config=FREE, forgotten=forgotten)
    assert applied.verdicts_N.tolist() == [Verdict.FORGOTTEN, Verdict.FORGOTTEN, Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert applied.profiles["ann"].num_events == 1
    nothing = apply({}, batch(events[:1], [(0, 0)]), config=FREE, forgotten=forgotten)
    assert not nothing.profiles


def test_items_idle_beyond_the_horizon_go_by_the_profiles_own_clock_and_are_counted() -> None:
    config = replace(FREE, idle_horizon_s=10 * DAY_S)
    events = [("a", "ann", "old", "cart", NOW_S - 11 * DAY_S, NOW_S), ("b", "ann", "new", "cart", NOW_S, NOW_S + 1)]
    first = apply({}, batch(events[:1], [(0, 0)]), config=config).profiles
    assert first["ann"].item_ids == ("old",)
    after = apply(first, batch(events[1:], [(0, 1)]), config=config).profiles["ann"]
    assert (after.item_ids, after.num_pruned_items, after.num_events) == (("new",), 1, 2)


def test_a_profile_remembers_a_bounded_number_of_sources_those_that_moved_last() -> None:
    marks: dict[Source, int] = {}
    for number in range(MAX_SOURCES + 5):
        marks = moved(marks, Source("c", f"t{number}", 0), 7)
    marks = moved(marks, Source("c", "t5", 0), 8)
    assert len(marks) == MAX_SOURCES
    assert Source("c", "t4", 0) not in marks
    assert list(marks)[-1] == Source("c", "t5", 0)
    both = joined(marks, {Source("c", "t6", 0): 3, Source("c", "u", 0): 1})
    assert len(both) == MAX_SOURCES
    assert (both[Source("c", "t6", 0)], both[Source("c", "t5", 0)], both[Source("c", "u", 0)]) == (7, 8, 1)


def test_a_stub_of_a_version_that_kept_no_times_leaves_it_to_the_log_whose_the_events_are() -> None:
    old = replace(
        identify({}, {"~x": [(NOW_S, "ann")]}, config=FREE).profiles["~x"],
        recent_names=Names(),
        recent_event_times_L=np.zeros(0),
        recent_known_times_L=np.zeros(0),
        recent_behavior_ids_L=np.zeros(0, dtype=np.uint8),
    )
    assert history_of(old) == LoginHistory(("ann",), (-np.inf,), (-np.inf,))
    assert identify({"~x": old}, {"~x": [(NOW_S + 1, "bob")]}, config=FREE).unclear == ("~x",)
    assert identify({"~x": old}, {"~x": [(NOW_S + 1, "ann")]}, config=FREE).unclear == ()


def test_after_a_crash_a_user_who_cannot_name_all_guests_is_counted_anew() -> None:
    full = replace(empty_profile(behaviors=SHOP, num_half_lives=2), merged_from=tuple(f"~g{n}" for n in range(256)))
    logins = {"~new": [(NOW_S, "ann")]}
    assert identify({"ann": full}, logins, config=FREE, reading=Reading.BROKEN_OFF).unclear == ("~new",)
    assert identify({"ann": full}, logins, config=FREE).unclear == ()


@pytest.mark.parametrize("ahead", ["ann", "~x"])
def test_profiles_of_different_instants_are_merged_by_the_log_and_not_by_their_marks(ahead: str) -> None:
    source, other = Source("c", "t", 0), Source("c", "t", 1)
    blank = empty_profile(behaviors=SHOP, num_half_lives=2)
    profiles = {key: replace(blank, marks={source: 7 if key == ahead else 4}) for key in ("ann", "~x")}
    logins = {"~x": [(NOW_S, "ann")]}
    for starts, unclear in (({source: 5}, ("~x",)), ({source: 8}, ()), ({other: 0}, ()), ({}, ())):
        found = identify(profiles, logins, config=FREE, reading=Reading.BROKEN_OFF, starts=starts)
        assert found.unclear == unclear
        assert set(found.profiles) == (set() if unclear else {"ann", "~x"})
