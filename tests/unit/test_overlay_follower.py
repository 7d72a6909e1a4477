"""Following the topic into the overlay: the entries the collector would have made, and nothing the stream refuses."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.clock import ManualClock
from mmrec.collecting.overlay import MemoryOverlay
from mmrec.collecting.overlay_follower import MAX_LAG_S, OverlayFollower
from mmrec.collecting.overlay_writer import MAX_FOLLOWED, OverlayWriter
from mmrec.config import EventSettings
from mmrec.events.columns import RESUBMITTED
from mmrec.events.control import FORGET, IDENTIFY, forget_event, identify_event
from mmrec.events.encoding import encode_event
from mmrec.events.producer import RecordPlace, TopicRecord
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.source import Source
from mmrec.telemetry.metrics import Metrics
from mmrec.v1.behavior_pb2 import BehaviorEvent

NOW_S = 1_767_225_600.25
SOURCE = Source("c", "t", 0)


class Topic:
    def identity(self) -> tuple[str, str]:
        return "c", "t"

    def close(self) -> None:
        pass


class Followed:
    """A follower of a topic with one partition, and its overlay."""

    def __init__(self) -> None:
        self.overlay, self.clock = MemoryOverlay(), ManualClock(NOW_S)
        self.marks: Mapping[Source, int] = {}
        self.writer = OverlayWriter(
            self.overlay, topic=Topic(), read_marks=lambda: self.marks, merged_from=lambda _: []
        )
        self.writer.check_topic()
        self.topic = ("c", "t")
        self.follower = OverlayFollower(
            self.writer, Metrics("follow_events"), self.clock, behaviors=shop_behaviors(), settings=EventSettings()
        )

    def read(self, *user_keys: str) -> list[str]:
        return [entry.event_id for entries in self.overlay.read(user_keys).values() for entry in entries]

    def take(self, *records: TopicRecord) -> bool:
        return self.follower.take(records, topic=self.topic)


def event(event_id: str, **changes: object) -> BehaviorEvent:
    return BehaviorEvent(**{"event_id": event_id, "user_id": "ann", "item_id": "i", "behavior": "cart", **changes})


def record(message: BehaviorEvent, offset: int, *, in_overlay: bool = False) -> TopicRecord:
    return TopicRecord(*encode_event(message), 0, offset, NOW_S, in_overlay)


@st.composite
def taken_events(draw: st.DrawFn) -> BehaviorEvent:
    """Events the stream takes, control records among them."""
    names = st.sampled_from(["a", "b", "\u00fc"])
    message = BehaviorEvent(
        event_id=draw(names),
        behavior=draw(st.sampled_from(["browse", "purchase", IDENTIFY, FORGET])),
        user_id=draw(names),
        anonymous_id=draw(names),
        item_id=draw(names),
        context=draw(st.sampled_from([{}, {"page": "home"}, {RESUBMITTED: "t/0/7"}])),
    )
    if message.behavior not in (IDENTIFY, FORGET) and draw(st.booleans()):
        message.user_id = ""
    if draw(st.booleans()):
        message.event_time.seconds = draw(st.integers(1_700_000_000, int(NOW_S)))
        message.event_time.nanos = draw(st.sampled_from([0, 5_000_000, 120_000_000]))
    return message


@given(messages=st.lists(taken_events(), max_size=6))
def test_what_is_followed_stands_in_the_overlay_as_if_the_collector_had_taken_it(messages: list[BehaviorEvent]) -> None:
    followed, collected = Followed(), Followed()
    assert followed.take(*(record(message, offset) for offset, message in enumerate(messages)))
    collected.writer.add([(message, RecordPlace(0, offset, NOW_S)) for offset, message in enumerate(messages)])
    keys = ["a", "b", "\u00fc", "~a", "~b", "~\u00fc"]
    assert followed.overlay.read(keys) == collected.overlay.read(keys)


def test_what_is_refused_collected_or_imported_is_left_out_and_counted() -> None:
    shop = Followed()
    broken = TopicRecord(b"ann", b"{", 0, 4, NOW_S)
    shop.take(
        record(event("a"), 0),
        record(event("b"), 1, in_overlay=True),
        record(event("c", behavior="teleport"), 2),
        record(event("d", imported=True), 3),
        broken,
    )
    assert shop.read("ann") == ["a"]
    assert shop.follower.figures() == {"followed": 1, "collected": 1, "refused": 2, "imported": 1}


def test_a_backlog_is_left_to_the_stream() -> None:
    shop = Followed()
    shop.clock.advance(MAX_LAG_S + 0.5)
    assert not shop.take(record(event("a"), 0))
    assert (shop.read("ann"), shop.follower.figures()) == ([], {"behind": 1})
    assert shop.take()


def test_what_the_profiles_have_already_is_not_brought_in_again() -> None:
    shop = Followed()
    shop.marks = {SOURCE: 1}
    shop.writer.tend()
    shop.take(record(event("a"), 1), record(event("b"), 2))
    assert (shop.read("ann"), shop.follower.figures()) == (["b"], {"passed": 1, "followed": 1})


def test_records_of_a_topic_that_is_gone_are_left_out() -> None:
    shop = Followed()
    shop.topic = ("c", "another")
    shop.take(record(event("a"), 0))
    assert (shop.read("ann"), shop.follower.figures()) == ([], {"passed": 1})


def test_many_records_come_in_small_commits() -> None:
    shop = Followed()
    shop.take(*(record(event(f"e{n}"), n) for n in range(MAX_FOLLOWED + 1)))
    assert (len(shop.read("ann")), shop.writer.figures()["overlay_commits"]) == (MAX_FOLLOWED + 1, 2)


@pytest.mark.parametrize("late", [forget_event(event_id="f", user_id="ann"), None])
def test_a_request_to_forget_that_is_read_late_leaves_what_came_after_it(late: BehaviorEvent | None) -> None:
    shop = Followed()
    before, after = (event("before"), RecordPlace(0, 0, NOW_S)), (event("after"), RecordPlace(0, 2, NOW_S))
    shop.writer.add([before, after])
    shop.take(record(late or identify_event(event_id="f", user_id="ann", anonymous_id="x"), 1))
    assert shop.read("ann") == (["f", "after"] if late else ["before", "f", "after"])
