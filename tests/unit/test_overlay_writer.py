"""The collector and its overlay: in it before the answer, and an overlay that fails costs freshness only."""

from collections.abc import Mapping, Sequence

from mmrec.clock import ManualClock
from mmrec.collecting.collect import EventCollector
from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.collecting.overlay_writer import OverlayWriter
from mmrec.config import EventSettings, KafkaSettings
from mmrec.errors import StoreError
from mmrec.events.control import FORGET, IDENTIFY, forget_event, identify_event
from mmrec.events.producer import MemoryRecordProducer
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.source import Source
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome

NOW_S = 1_767_225_600.25


class Topic:
    """The topic's identity, which may change and may be unknown."""

    def __init__(self) -> None:
        self.found: tuple[str, str] | None = ("c", "t")

    def identity(self) -> tuple[str, str]:
        if self.found is None:
            raise StoreError("no broker")
        return self.found

    def close(self) -> None:
        pass


class Deployment:
    """A collector on a broker in memory, its overlay, and the marks of the stored progress."""

    def __init__(self) -> None:
        self.overlay, self.topic = FlakyOverlay(), Topic()
        self.marks: Mapping[Source, int] = {}
        self.writer = OverlayWriter(
            self.overlay, topic=self.topic, read_marks=lambda: self.marks, merged_from=lambda key: [f"~old-{key}"]
        )
        self.writer.check_topic()
        self.collector = EventCollector(
            MemoryRecordProducer(clock=ManualClock(NOW_S), num_partitions=1),
            topics=KafkaSettings(),
            events=EventSettings(),
            behaviors=shop_behaviors(),
            overlay=self.writer,
        )

    def send(self, *events: BehaviorEvent) -> list[int]:
        return [status.outcome for status in self.collector.record(events, now_s=NOW_S).result(10)]


class FlakyOverlay(MemoryOverlay):
    """Fails at will."""

    fails = False

    def add(self, entries: Sequence[OverlayEntry]) -> None:
        if self.fails:
            raise StoreError("locked")
        super().add(entries)

    def prune(self, marks: Mapping[Source, int]) -> int:
        if self.fails:
            raise StoreError("locked")
        return super().prune(marks)


def event(event_id: str, **changes: object) -> BehaviorEvent:
    return BehaviorEvent(**{"event_id": event_id, "user_id": "ann", "item_id": "i", "behavior": "cart", **changes})


def test_an_acknowledged_event_is_in_the_overlay_and_a_refused_one_is_not() -> None:
    shop = Deployment()
    timed = event("b", imported=True)
    timed.event_time.seconds = 1_700_000_000
    shop.send(event("a"), event("x", behavior="nope"), timed)
    first, second = shop.overlay.read(["ann"])["ann"]
    assert (first.source, first.offset, first.behavior, first.ingest_time_s) == (Source("c", "t", 0), 0, "cart", NOW_S)
    assert (first.event_time_s, first.known_time_s, first.exempt) == (NOW_S, NOW_S, False)
    assert (second.event_time_s, second.known_time_s, second.exempt) == (1_700_000_000.0, 1_700_000_000.0, True)


def test_what_the_stored_progress_has_passed_goes() -> None:
    shop = Deployment()
    shop.send(event("a"), event("b"))
    shop.marks = {Source("c", "t", 0): 0}
    shop.writer.tend()
    assert [e.offset for e in shop.overlay.read(["ann"])["ann"]] == [1]
    assert shop.writer.figures()["overlay_pruned"] == 1


def test_a_failing_overlay_never_fails_an_acknowledgement_and_is_tried_again() -> None:
    shop = Deployment()
    shop.overlay.fails = True
    assert shop.send(event("a")) == [EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED]
    assert shop.send(event("b")) == [EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED]
    figures = shop.writer.figures()
    assert (figures["overlay_missed"], figures["overlay_failures"], figures["overlay_unavailable"]) == (2, 1, 1)
    shop.overlay.fails = False
    shop.writer.tend()
    shop.send(event("c"))
    assert [e.event_id for e in shop.overlay.read(["ann"])["ann"]] == ["c"]
    assert shop.writer.figures()["overlay_unavailable"] == 0


def test_forgetting_clears_the_users_entries_and_says_so_even_after_a_failure() -> None:
    shop = Deployment()
    shop.send(event("a"), event("g", user_id="", anonymous_id="old-ann"), event("h", user_id="", anonymous_id="new"))
    shop.send(identify_event(event_id="l", user_id="ann", anonymous_id="new"), event("o", user_id="bob"))
    shop.overlay.fails = True
    shop.send(forget_event(event_id="f", user_id="ann"))
    shop.overlay.fails = False
    shop.writer.tend()
    found = shop.overlay.read(["ann", "~old-ann", "~new", "bob"])
    assert {key: [e.behavior for e in entries] for key, entries in found.items()} == {"ann": [FORGET], "bob": ["cart"]}
    shop.send(event("b"))
    assert [e.behavior for e in shop.overlay.read(["ann"])["ann"]] == [FORGET, "cart"]


def test_events_before_a_request_to_forget_in_the_same_message_go_with_it() -> None:
    shop = Deployment()
    shop.send(event("a"), forget_event(event_id="f", user_id="ann"), event("b"))
    assert [e.event_id for e in shop.overlay.read(["ann"])["ann"]] == ["f", "b"]


def test_a_login_stands_under_both_keys() -> None:
    shop = Deployment()
    shop.send(identify_event(event_id="l", user_id="ann", anonymous_id="x"))
    found = shop.overlay.read(["ann", "~x"])
    assert [(e.behavior, e.item_id) for e in (*found["ann"], *found["~x"])] == [(IDENTIFY, "~x"), (IDENTIFY, "ann")]


def test_a_topic_made_anew_is_another_source_and_takes_the_old_entries_away() -> None:
    shop = Deployment()
    shop.send(event("a"))
    shop.topic.found = None
    shop.writer.check_topic()  # no broker answers: nothing is concluded from that
    assert len(shop.overlay.read(["ann"])["ann"]) == 1
    shop.topic.found = ("c", "t2")
    shop.writer.check_topic()
    assert shop.overlay.read(["ann"]) == {}
    shop.send(event("b"))
    assert [e.source.topic_id for e in shop.overlay.read(["ann"])["ann"]] == ["t2"]
