"""Read your own writes: however acknowledgement, stream, pruning and request interleave, each event counts once."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry, overlay_batch
from mmrec.errors import StoreError
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import StreamProgress
from mmrec.scoring.apply import apply
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.identity import identify, keys_to_read, targets_to_read
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.serving.fresh_profile import FreshProfile, read_fresh_profile

NOW_S = 1_767_225_600.0
BEHAVIORS = shop_behaviors()
CONFIG = ScoringConfig(behaviors=BEHAVIORS, max_items=0)
USERS = ("ann", "bob", "~guest")
PARTITION = {"ann": 0, "bob": 1, "~guest": 1}


class WatchedOverlay(MemoryOverlay):
    """Lets something happen after a read."""

    after_read = staticmethod(lambda: None)

    def read(self, user_keys):
        found = super().read(user_keys)
        self.after_read()
        return found


class Shop:
    """A topic of two partitions, the collector's overlay, the stream, and whoever asks for a list."""

    def __init__(self) -> None:
        self.topic: list[list[OverlayEntry]] = [[], []]
        self.overlay, self.store = WatchedOverlay(), MemoryFeatureStore()
        self.marks = {Source("c", "t", 0): -1, Source("c", "t", 1): -1}
        self.acknowledged: list[OverlayEntry] = []

    def append(self, user_key: str, behavior: str, item_id: str, *, number: int, through_collector: bool) -> None:
        log = self.topic[PARTITION[user_key]]
        at_s = NOW_S + number
        source = Source("c", "t", PARTITION[user_key])
        entry = OverlayEntry(
            user_key, source, len(log), behavior, item_id, f"e{number}", at_s - number % 3 * 5e4, at_s, at_s
        )
        log.append(entry)
        if not through_collector:
            return
        if behavior == FORGET:
            self.overlay.forget(user_key)
        mirrored = [entry._replace(user_key=item_id, item_id=user_key)] if behavior == IDENTIFY else []
        self.overlay.add([entry, *mirrored])
        self.acknowledged.append(entry)

    def stream(self, partition: int, number: int) -> None:
        """A micro-batch of one partition: what was forgotten first of all, then logins, then events."""
        source = Source("c", "t", partition)
        start = self.marks[source] + 1
        rows = self.topic[partition][start : start + number]
        if not rows:
            return
        forgotten = {row.user_key: row.known_time_s for row in rows if row.behavior == FORGET}
        self.store.delete_profiles(forgotten)
        logins = {row.item_id: [(row.known_time_s, row.user_key)] for row in rows if row.behavior == IDENTIFY}
        profiles = self.store.read_profiles({row.user_key for row in rows}.union(keys_to_read(logins)))
        profiles |= self.store.read_profiles(targets_to_read(profiles))
        brought = identify(profiles, logins, config=CONFIG)
        assert not brought.unclear
        events = overlay_batch(rows, BEHAVIORS)
        applied = apply({**profiles, **brought.profiles}, events, config=CONFIG, forgotten=forgotten)
        changed = {**brought.profiles, **applied.profiles}
        self.marks[source] = start + len(rows) - 1
        self.store.write_profiles(changed, write_time_s=NOW_S, progress=StreamProgress(marks=dict(self.marks)))

    def prune(self) -> None:
        progress = self.store.read_progress()
        self.overlay.prune(progress.marks if progress else {})

    def ask(self, user_key: str, between=lambda: None) -> FreshProfile:
        """A request; `between` happens after each of its reads, of the overlay and of the store."""

        def read_profiles(keys):
            found = self.store.read_profiles(keys)
            between()
            return found

        self.overlay.after_read = between
        found = read_fresh_profile(user_key, overlay=self.overlay, read_profiles=read_profiles, config=CONFIG)
        self.overlay.after_read = lambda: None
        return found


def check(found: FreshProfile, entries: list[OverlayEntry]) -> None:
    ledger = [
        LedgerEvent(
            event_id=e.event_id, user_key="u", item_id=e.item_id, behavior=e.behavior, event_time_s=e.event_time_s
        )
        for e in entries
    ]
    sums = plain_sum(ledger, behaviors=BEHAVIORS, decay_per_day=CONFIG.decay_per_day[0], as_of_s=NOW_S + 1e6)
    expected = {item_id: score for (_, item_id), score in sums.items()}
    if found.profile is None:
        assert expected == {}
        return
    errors = relative_errors(
        found.profile, expected, behaviors=BEHAVIORS, decay_per_day=CONFIG.decay_per_day[0], as_of_s=NOW_S + 1e6
    )
    assert max(errors.values(), default=0.0) <= 1e-9
    assert found.profile.num_events == len(entries)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from(USERS), st.sampled_from(["i1", "i2", "i3"])),
        st.tuples(st.just("stream"), st.sampled_from([0, 1]), st.integers(1, 4)),
        st.tuples(st.just("prune"), st.none(), st.none()),
        st.tuples(st.just("ask"), st.sampled_from(USERS), st.sampled_from(["", "stream", "prune", "both"])),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_every_request_equals_the_plain_sum_over_the_acknowledged_events(steps) -> None:
    shop = Shop()

    def between(what: str) -> None:
        if what in {"stream", "both"}:
            shop.stream(0, 3)
            shop.stream(1, 3)
        if what in {"prune", "both"}:
            shop.prune()

    for number, (what, first, second) in enumerate(steps):
        if what == "event":
            shop.append(first, BEHAVIORS.names[number % 4], second, number=number, through_collector=True)
        elif what == "stream":
            shop.stream(first, second)
        elif what == "prune":
            shop.prune()
        else:
            found = shop.ask(first, lambda what=second: between(what))
            check(found, [e for e in shop.acknowledged if e.user_key == first])
    for partition in (0, 1):
        shop.stream(partition, 100)
    shop.prune()
    assert shop.overlay.figures().num_entries == 0
    for user in USERS:
        check(shop.ask(user), [e for e in shop.acknowledged if e.user_key == user])


@given(STEPS, st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_a_login_shows_both_histories_at_once_and_later_ones_too(steps, login_at: int) -> None:
    shop = Shop()
    for number, (what, first, second) in enumerate([*steps[:login_at], ("login", "", ""), *steps[login_at:]]):
        logged_in = number > login_at or number > len(steps[:login_at])
        if what == "login":
            shop.append("bob", IDENTIFY, "~guest", number=number, through_collector=True)
        elif what == "event":
            shop.append(first, BEHAVIORS.names[number % 4], second, number=number, through_collector=True)
        elif what == "stream":
            shop.stream(first, second)
        elif what == "prune":
            shop.prune()
        else:
            together = {"bob", "~guest"} if logged_in and first != "ann" else {first}
            events = [e for e in shop.acknowledged if e.user_key in together and e.behavior != IDENTIFY]
            check(shop.ask(first), events)


@given(STEPS, st.integers(0, 40))
@example([("event", "ann", "i1"), *[("stream", 0, 1)] * 2, ("prune", None, None), ("ask", "ann", "")], 1)
@settings(max_examples=150, deadline=None)
def test_nothing_of_before_a_request_to_forget_is_seen_and_everything_since_is(steps, forget_at: int) -> None:
    shop = Shop()
    begins = 0
    for number, (what, first, second) in enumerate([*steps[:forget_at], ("forget", "", ""), *steps[forget_at:]]):
        if what == "forget":
            begins = len(shop.acknowledged) + 1
            shop.append("ann", FORGET, "", number=number, through_collector=True)
        elif what == "event":
            shop.append(first, BEHAVIORS.names[number % 4], second, number=number, through_collector=True)
        elif what == "stream":
            shop.stream(first, second)
        elif what == "prune":
            shop.prune()
        else:
            start = begins if first == "ann" else 0
            check(
                shop.ask(first), [e for e in shop.acknowledged[start:] if e.user_key == first and e.behavior != FORGET]
            )


def test_a_forgotten_users_anonymous_history_is_not_seen_either() -> None:
    shop = Shop()
    shop.append("~guest", "cart", "i1", number=1, through_collector=True)
    shop.append("bob", "cart", "i2", number=2, through_collector=True)
    shop.append("bob", IDENTIFY, "~guest", number=3, through_collector=True)
    shop.stream(1, 100)
    assert shop.ask("~guest").profile.num_events == 2
    shop.append("bob", FORGET, "", number=4, through_collector=True)
    assert shop.ask("bob").profile is None
    assert shop.ask("~guest").profile is None
    shop.append("~guest", "cart", "i3", number=5, through_collector=True)
    assert shop.ask("~guest").profile.num_events == 1


def test_a_repeat_that_the_profile_has_seen_counts_once_in_the_request() -> None:
    shop = Shop()
    for _ in range(2):
        shop.append("ann", "cart", "i1", number=1, through_collector=True)
        shop.stream(0, 1)
        shop.append("ann", "cart", "i1", number=1, through_collector=True)
    assert shop.ask("ann").profile.num_events == 1


def test_without_an_overlay_the_stored_profile_is_served_and_that_is_said() -> None:
    class Broken(MemoryOverlay):
        def read(self, user_keys):
            raise StoreError("locked")

    shop = Shop()
    shop.append("ann", "cart", "i1", number=1, through_collector=True)
    shop.stream(0, 1)
    found = read_fresh_profile("ann", overlay=Broken(), read_profiles=shop.store.read_profiles, config=CONFIG)
    assert not found.overlay_available
    assert found.profile.num_events == 1
    assert read_fresh_profile(
        "ann", overlay=None, read_profiles=shop.store.read_profiles, config=CONFIG
    ).overlay_available


def test_caps_judge_pending_events_as_the_stream_will() -> None:
    config = ScoringConfig(behaviors=BEHAVIORS, cap_events=3, cap_window_s=1_000.0)
    shop = Shop()
    for number in range(8):
        shop.append("ann", "cart", f"i{number}", number=number, through_collector=True)
    found = read_fresh_profile("ann", overlay=shop.overlay, read_profiles=shop.store.read_profiles, config=config)
    streamed = apply({}, overlay_batch(shop.topic[0], BEHAVIORS), config=config).profiles["ann"]
    assert found.profile.num_events == streamed.num_events == 3
    assert np.array_equal(found.profile.counts_IHB, streamed.counts_IHB)
    assert found.num_overlay_events == 3


@pytest.mark.parametrize("through_collector", [False, True])
def test_events_straight_onto_kafka_are_seen_when_the_stream_has_them(through_collector: bool) -> None:
    shop = Shop()
    shop.append("ann", "cart", "i1", number=1, through_collector=False)
    shop.append("ann", "cart", "i2", number=2, through_collector=through_collector)
    before = shop.ask("ann").profile
    assert (before.item_ids if before else ()) == (("i2",) if through_collector else ())
    shop.stream(0, 5)
    assert sorted(shop.ask("ann").profile.item_ids) == ["i1", "i2"]
