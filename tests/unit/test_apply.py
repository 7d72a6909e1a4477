"""Laws of *apply*: the plain sum in any order, duplicates once, replays nothing."""

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import IncompatibleStateError
from mmrec.scoring.affinity import affinity
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import NO_SOURCE, EventBatch, event_hashes, session_batch
from mmrec.scoring.behaviors import BehaviorSet, shop_behaviors
from mmrec.scoring.decay import count_events, decay
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict

DAY_S = 86_400.0
NOW_S = 1_760_000_000.0
SHOP = shop_behaviors()
CONFIG = ScoringConfig(behaviors=SHOP, max_items=0)
SOURCES = (Source("c", "t", 0), Source("c", "t", 1))
Event = tuple[str, str, str, str, float]
"""(event id, user, item, behavior, event time)"""


def batch(events: list[Event], places: list[tuple[int, int]] | None = None, ingest_s: float = NOW_S) -> EventBatch:
    """Events at (source, offset) places; by default one source, offsets 0, 1, 2, ..."""
    places = places if places is not None else [(0, offset) for offset in range(len(events))]
    number = len(events)
    return EventBatch(
        user_keys=np.array([e[1] for e in events], dtype=object),
        item_ids=np.array([e[2] for e in events], dtype=object),
        behavior_ids_N=np.array([SHOP.ids_B[SHOP.index(e[3])] for e in events], dtype=np.uint8),
        event_times_N=np.array([e[4] for e in events], dtype=np.float64),
        known_times_N=np.full(number, ingest_s),
        ingest_times_N=np.full(number, ingest_s),
        event_hashes_N=event_hashes([e[0] for e in events]),
        sources=SOURCES,
        source_index_N=np.array([source for source, _ in places], dtype=np.int32),
        offsets_N=np.array([offset for _, offset in places], dtype=np.int64),
    )


def arrays_equal(one: UserProfile, other: UserProfile) -> bool:
    """Bit for bit."""
    for field in fields(UserProfile):
        a, b = getattr(one, field.name), getattr(other, field.name)
        same = np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b
        if not same:
            return False
    return True


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["i1", "i2", "i3", "i4"]),
        st.sampled_from(SHOP.names),
        st.floats(0.0, 60 * DAY_S),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(raw=EVENTS, shuffle=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_any_order_partition_and_batch_boundary_gives_the_plain_sum(raw, shuffle, cuts) -> None:
    # An id names one event: whatever is repeated is the same event again.
    events: list[Event] = [(f"e{n}", user, item, name, NOW_S - age) for n, user, item, name, age in raw]
    first = {}
    for event in events:
        first.setdefault((event[1], event[0]), event)
    events = [first[event[1], event[0]] for event in events]
    shuffle.shuffle(events)
    partition = {user: shuffle.randrange(2) for user in ("ann", "bob")}
    places = [(partition[event[1]], offset) for offset, event in enumerate(events)]
    profiles: dict[str, UserProfile] = {}
    edges = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    num_accepted = 0
    for start, end in itertools.pairwise(edges):
        order = list(range(start, end))
        shuffle.shuffle(order)  # rows of a batch come in any order; offsets tell
        applied = apply(profiles, batch([events[i] for i in order], [places[i] for i in order]), config=CONFIG)
        profiles.update(applied.profiles)
        num_accepted += int(np.sum(applied.verdicts_N == Verdict.ACCEPTED))
        again = apply(profiles, batch([events[i] for i in order], [places[i] for i in order]), config=CONFIG)
        assert not again.profiles
        assert set(again.verdicts_N.tolist()) <= {Verdict.ALREADY_APPLIED}
    assert num_accepted == len({(event[1], event[0]) for event in events})
    as_of_s = NOW_S + 3 * DAY_S
    expected = plain_sum(
        [LedgerEvent(event_id=e[0], user_key=e[1], item_id=e[2], behavior=e[3], event_time_s=e[4]) for e in events],
        behaviors=SHOP,
        decay_per_day=0.05,
        as_of_s=as_of_s,
    )
    for user, profile in profiles.items():
        mine = {item: score for (owner, item), score in expected.items() if owner == user}
        errors = relative_errors(profile, mine, behaviors=SHOP, decay_per_day=0.05, as_of_s=as_of_s)
        assert max(errors.values()) < 1e-12
        totals = (
            profile.totals_HB[0] @ SHOP.weights_B * decay(as_of_s - profile.newest_event_time_s, decay_per_day=0.05)
        )
        assert totals == pytest.approx(math.fsum(mine.values()), rel=1e-12)


def test_two_browses_three_days_ago_are_worth_1_7214() -> None:
    events = [("a", "ann", "i1", "browse", NOW_S - 3 * DAY_S), ("b", "ann", "i1", "browse", NOW_S - 3 * DAY_S)]
    profile = apply({}, batch(events), config=CONFIG).profiles["ann"]
    value = affinity(profile.counts(SHOP)[:, 0], NOW_S - profile.reference_times_I, SHOP.weights_B, decay_per_day=0.05)
    assert round(float(value[0]), 4) == 1.7214


@given(st.floats(0, 400), st.floats(0, 400))
def test_decaying_twice_is_decaying_once(one, two) -> None:
    once = decay((one + two) * DAY_S, decay_per_day=0.05)
    assert decay(one * DAY_S, decay_per_day=0.05) * decay(two * DAY_S, decay_per_day=0.05) == pytest.approx(
        once, rel=1e-12
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.floats(0, 90 * DAY_S)), max_size=12),
    st.integers(0, 12),
)
def test_counting_in_parts_in_any_order_is_the_plain_sum(events, cut) -> None:
    rates = (0.05, 0.0)

    def counted(*parts):
        counts, references = np.zeros((3, 2, 2)), np.full(3, -np.inf)
        for part in parts:
            slots, columns, times = (np.array([event[n] for event in part]) for n in range(3))
            counts, references = count_events(
                counts,
                references,
                slot_A=slots.astype(np.int64),
                column_A=columns.astype(np.int64),
                times_A=times.astype(np.float64),
                decay_per_day_H=rates,
            )
        return counts, references

    expected = np.zeros((3, 2, 2))
    newest = {slot: max(t for s, _, t in events if s == slot) for slot, _, _ in events}
    for slot, column, time_s in events:
        expected[slot, :, column] += [decay(newest[slot] - time_s, decay_per_day=rate) for rate in rates]
    for parts in ([events], [events[:cut], events[cut:]], [events[cut:], events[:cut]]):
        counts, references = counted(*parts)
        assert counts == pytest.approx(expected, rel=1e-12, abs=1e-300)
        assert references.tolist() == [newest.get(slot, -np.inf) for slot in range(3)]


def test_items_no_event_touches_stay_bit_identical() -> None:
    rng = np.random.default_rng(0)
    events = [(f"e{n}", "ann", f"i{n % 7}", "browse", NOW_S - float(rng.random()) * 30 * DAY_S) for n in range(50)]
    before = apply({}, batch(events), config=CONFIG).profiles["ann"]
    after = apply({"ann": before}, batch([("x", "ann", "i3", "cart", NOW_S)], [(0, 99)]), config=CONFIG).profiles["ann"]
    for item in set(before.item_ids) - {"i3"}:
        old, new = before.item_ids.index(item), after.item_ids.index(item)
        assert before.reference_times_I[old] == after.reference_times_I[new]
        assert before.counts_IHB[old].tobytes() == after.counts_IHB[new].tobytes()


def test_session_events_move_no_mark_and_count_once_with_the_stream() -> None:
    event: Event = ("click", "ann", "i1", "cart", NOW_S)
    session = session_batch(
        user_key="ann",
        item_ids=["i1"],
        behavior_ids=[3],
        event_times_s=[NOW_S],
        event_ids=["click"],
        ingest_time_s=NOW_S,
    )
    overlay = apply({}, session, config=CONFIG).profiles["ann"]
    assert overlay.marks == {}
    assert overlay.num_events == 1
    stored = apply({}, batch([event], [(1, 7)]), config=CONFIG).profiles["ann"]
    assert stored.marks == {SOURCES[1]: 7}
    late = apply({"ann": stored}, session, config=CONFIG)
    assert late.verdicts_N.tolist() == [Verdict.DUPLICATE]
    assert late.profiles == {}
    assert (session.source_index_N == NO_SOURCE).all()


def test_a_duplicate_moves_the_mark_and_nothing_else() -> None:
    event: Event = ("e", "ann", "i1", "browse", NOW_S)
    once = apply({}, batch([event], [(0, 1)]), config=CONFIG).profiles["ann"]
    applied = apply({"ann": once}, batch([event], [(0, 5)]), config=CONFIG)
    assert applied.verdicts_N.tolist() == [Verdict.DUPLICATE]
    assert arrays_equal(replace(applied.profiles["ann"], marks=once.marks), once)
    assert applied.profiles["ann"].marks == {SOURCES[0]: 5}


def test_the_ring_forgets_by_size_and_by_window() -> None:
    small = replace(CONFIG, ring_size=2, ring_window_s=DAY_S)
    events: list[Event] = [(name, "ann", "i1", "browse", NOW_S) for name in "abc"]
    profile = apply({}, batch(events), config=small).profiles["ann"]
    assert len(profile.ring_ids_R) == 2
    repeated = [("a", "ann", "i1", "browse", NOW_S), ("c", "ann", "i1", "browse", NOW_S)]
    kept = dict(zip(event_hashes("abc").tolist(), "abc", strict=True))
    remembered = {kept[int(value)] for value in profile.ring_ids_R}
    verdicts = apply({"ann": profile}, batch(repeated, [(0, 10), (0, 11)]), config=small).verdicts_N
    assert verdicts[0] == (Verdict.DUPLICATE if "a" in remembered else Verdict.ACCEPTED)
    late = batch([events[2], events[1]], [(0, 20), (0, 21)], ingest_s=NOW_S + 2 * DAY_S)
    assert apply({"ann": profile}, late, config=small).verdicts_N.tolist() == [Verdict.ACCEPTED, Verdict.ACCEPTED]


def ring_law(ingest_days: list[float], cuts: list[int], size: int) -> UserProfile:
    config = replace(CONFIG, ring_size=size, ring_window_s=5 * DAY_S)
    profiles: dict[str, UserProfile] = {}
    edges = sorted({0, len(ingest_days), *(min(cut, len(ingest_days)) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        rows = range(start, end)
        events = batch([(f"e{n % 9}", "ann", "i1", "browse", NOW_S) for n in rows], [(0, n) for n in rows])
        times = np.array([NOW_S + ingest_days[n] * DAY_S for n in rows])
        profiles.update(apply(profiles, replace(events, ingest_times_N=times), config=config).profiles)
    return profiles["ann"]


@given(st.lists(st.floats(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 30)), st.integers(0, 6))
def test_batch_boundaries_change_neither_verdicts_nor_the_ring(ingest_days, cuts, size) -> None:
    one, many = ring_law(ingest_days, [], size), ring_law(ingest_days, cuts, size)
    assert one.num_events == many.num_events
    assert np.array_equal(one.ring_ids_R, many.ring_ids_R)
    assert np.array_equal(one.ring_ingest_times_R, many.ring_ingest_times_R)


@given(EVENTS, st.randoms(use_true_random=False))
def test_newest_events_do_not_depend_on_the_order_of_arrival(raw, shuffle) -> None:
    config = replace(CONFIG, max_recent=5)
    events: list[Event] = [(f"e{n}", "ann", item, name, NOW_S - age) for n, (_, _, item, name, age) in enumerate(raw)]
    if not events:
        return
    straight = apply({}, batch(events), config=config).profiles["ann"]
    shuffle.shuffle(events)
    profiles: dict[str, UserProfile] = {}
    for offset, event in enumerate(events):
        profiles.update(apply(profiles, batch([event], [(0, offset)]), config=config).profiles)
    other = profiles["ann"]
    assert straight.recent_item_ids == other.recent_item_ids
    assert np.array_equal(straight.recent_event_times_L, other.recent_event_times_L)
    assert np.array_equal(straight.recent_behavior_ids_L, other.recent_behavior_ids_L)
    assert list(other.recent_event_times_L) == sorted(other.recent_event_times_L)


def test_pruning_keeps_the_most_valuable_items_and_counts_the_rest() -> None:
    config = replace(CONFIG, max_items=2)
    events: list[Event] = [
        ("a", "ann", "old", "purchase", NOW_S - 200 * DAY_S),
        ("b", "ann", "seen", "browse", NOW_S),
        ("c", "ann", "wanted", "cart", NOW_S - DAY_S),
    ]
    profile = apply({}, batch(events), config=config).profiles["ann"]
    assert set(profile.item_ids) == {"seen", "wanted"}
    assert profile.num_pruned_items == 1
    assert profile.num_events == 3
    assert profile.totals_HB[0] @ SHOP.weights_B == pytest.approx(
        1 + 5 * decay(DAY_S, decay_per_day=0.05) + 10 * decay(200 * DAY_S, decay_per_day=0.05)
    )


def test_adding_a_behavior_needs_no_replay_and_removing_one_loses_nothing() -> None:
    browse_only = BehaviorSet(tuple(b for b in SHOP if b.name == "browse"))
    narrow = ScoringConfig(behaviors=browse_only, max_items=0)
    one = apply({}, batch([("a", "ann", "i1", "browse", NOW_S)]), config=narrow).profiles["ann"]
    two = apply({"ann": one}, batch([("b", "ann", "i1", "cart", NOW_S)], [(0, 5)]), config=CONFIG).profiles["ann"]
    assert two.counts(SHOP)[0, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
    three = apply({"ann": two}, batch([("c", "ann", "i1", "browse", NOW_S)], [(0, 6)]), config=narrow).profiles["ann"]
    assert three.counts(SHOP)[0, 0].tolist() == [2.0, 0.0, 1.0, 0.0]


def test_another_number_of_half_lives_is_refused() -> None:
    profile = apply({}, batch([("a", "ann", "i1", "browse", NOW_S)]), config=CONFIG).profiles["ann"]
    with pytest.raises(IncompatibleStateError, match="rebuild"):
        two = replace(CONFIG, decay_per_day=(0.05, 1.0))
        apply({"ann": profile}, batch([("b", "ann", "i1", "browse", NOW_S)], [(0, 3)]), config=two)


def test_several_half_lives_stand_side_by_side() -> None:
    config = replace(CONFIG, decay_per_day=(0.05, 1.0))
    events: list[Event] = [("a", "ann", "i1", "browse", NOW_S), ("b", "ann", "i1", "browse", NOW_S - DAY_S)]
    counts = apply({}, batch(events), config=config).profiles["ann"].counts_IHB[0, :, 0]
    assert counts == pytest.approx([1 + math.exp(-0.05), 1 + math.exp(-1.0)], rel=1e-14)


@settings(deadline=None)
@given(EVENTS)
def test_packing_round_trips_bit_for_bit(raw) -> None:
    events: list[Event] = [(f"e{n}", user, item, name, NOW_S - age) for n, (_, user, item, name, age) in enumerate(raw)]
    for profile in apply({}, batch(events), config=CONFIG).profiles.values():
        assert arrays_equal(unpack(pack(profile)), profile)


def test_bytes_of_another_version_or_none_at_all_are_refused() -> None:
    data = pack(apply({}, batch([("a", "ann", "é1", "browse", NOW_S)]), config=CONFIG).profiles["ann"])
    assert unpack(data).item_ids == ("é1",)
    for broken in (b"", b"mmPf", b"xxxx" + data[4:], data[:4] + b"\x09\x00" + data[6:], data[:80]):
        with pytest.raises(IncompatibleStateError):
            unpack(broken)
    with pytest.raises(ValueError, match="control"):
        pack(apply({}, batch([("a", "ann", "a\x1fb", "browse", NOW_S)]), config=CONFIG).profiles["ann"])


def test_event_hashes_are_stable_for_ever() -> None:
    assert event_hashes(["event-1"]).tolist() == [2_123_818_840_965_202_205]
