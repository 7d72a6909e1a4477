"""The collector's promises, with a broker in memory that can be down."""

from collections import Counter
from concurrent.futures import Future

from mmrec.clock import ManualClock
from mmrec.collecting.collect import EventCollector
from mmrec.collecting.outcome_counts import CollectorFigures, OutcomeCounts, collector_figures_in
from mmrec.collecting.upsert import CatalogWriter
from mmrec.config import EventSettings, KafkaSettings
from mmrec.events.producer import MemoryRecordProducer, RecordPlace
from mmrec.events.rejected import decode_rejected, is_cut
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.catalog_pb2 import CatalogItem, Image
from mmrec.v1.collector_pb2 import EventOutcome, EventStatus

NOW_S = 1_767_225_600.25
TOPICS = KafkaSettings()
ACKNOWLEDGED, REJECTED, RETRY = (
    EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED,
    EventOutcome.EVENT_OUTCOME_REJECTED,
    EventOutcome.EVENT_OUTCOME_RETRY,
)


class SlowProducer(MemoryRecordProducer):
    """Holds every answer back until told."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(NOW_S))
        self.held: list[tuple[Future[RecordPlace], RecordPlace]] = []

    def send(self, topic: str, key: bytes, value: bytes | None) -> Future[RecordPlace]:
        answer: Future[RecordPlace] = Future()
        self.held.append((answer, super().send(topic, key, value).result()))
        return answer

    def answer(self) -> None:
        held, self.held = self.held, []
        for answer, place in held:
            answer.set_result(place)


def collector(producer: MemoryRecordProducer, max_in_flight: int = 100) -> EventCollector:
    return EventCollector(
        producer, topics=TOPICS, events=EventSettings(), behaviors=shop_behaviors(), max_in_flight=max_in_flight
    )


def event(event_id: str, **changes: object) -> BehaviorEvent:
    return BehaviorEvent(**{"event_id": event_id, "user_id": "u", "item_id": "i", "behavior": "cart", **changes})


def outcomes(statuses: list[EventStatus]) -> list[tuple[str, int, str]]:
    return [(s.event_id, s.outcome, s.reason) for s in statuses]


def test_a_status_for_every_event_in_their_order() -> None:
    broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
    statuses = collector(broker).record([event("a"), event("b", behavior="nope"), event("c"), event("")], now_s=NOW_S)
    assert outcomes(statuses.result(10)) == [
        ("a", ACKNOWLEDGED, ""),
        ("b", REJECTED, "unknown_behavior"),
        ("c", ACKNOWLEDGED, ""),
        ("", REJECTED, "missing_event_id"),
    ]
    first, _, third, _ = statuses.result(10)
    assert [first.offset, third.offset] == [0, 1]
    assert first.ingest_time.ToNanoseconds() == 1_767_225_600_250_000_000
    assert [r.offset for r in broker.records(TOPICS.behavior_events)] == [0, 1]


def test_a_refused_event_stands_on_the_rejected_topic_with_its_bytes() -> None:
    broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
    refused = event("e", user_id="~u", price=float("nan"))
    assert collector(broker).record([refused], now_s=NOW_S).result(10)[0].reason == "wrong_type"
    (record,) = broker.records(TOPICS.rejected)
    row = decode_rejected(record.value or b"")
    assert (row["reason"], row["original_key"], row["offset"]) == ("wrong_type", b"~u", -1)
    assert b'"price":"NaN"' in row["original_value"]
    assert broker.records(TOPICS.behavior_events) == []


def test_without_a_broker_the_answer_is_retry_for_good_and_bad_alike() -> None:
    broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
    broker.available = False
    events = collector(broker)
    statuses = events.record([event("a"), event("b", item_id="")], now_s=NOW_S).result(10)
    assert outcomes(statuses) == [("a", RETRY, "unavailable"), ("b", RETRY, "unavailable")]
    broker.available = True
    assert events.record([event("a")], now_s=NOW_S).result(10)[0].outcome == ACKNOWLEDGED
    assert (events.in_flight, events.counts()) == (0, OutcomeCounts(acknowledged=1, retry=Counter(unavailable=2)))


def test_nothing_waits_and_what_is_over_the_bound_is_to_be_sent_again() -> None:
    broker = SlowProducer()
    events = collector(broker, max_in_flight=3)
    first = events.record([event("a"), event("b")], now_s=NOW_S)
    second = events.record([event("c"), event("d")], now_s=NOW_S)
    assert not first.done()
    assert not second.done()
    broker.answer()
    assert [s.outcome for s in first.result(10)] == [ACKNOWLEDGED, ACKNOWLEDGED]
    assert outcomes(second.result(10)) == [("c", ACKNOWLEDGED, ""), ("d", RETRY, "overloaded")]
    assert events.in_flight == 0


def test_an_answer_nobody_waits_for_disturbs_nobody() -> None:
    broker = SlowProducer()
    events = collector(broker)
    left, kept = events.record([event("a")], now_s=NOW_S), events.record([event("b")], now_s=NOW_S)
    assert not left.cancel()  # as a client that went away would
    broker.answer()
    assert [s.outcome for f in (left, kept) for s in f.result(10)] == [ACKNOWLEDGED, ACKNOWLEDGED]
    assert (events.in_flight, events.counts()) == (0, OutcomeCounts(acknowledged=2))


def test_a_request_without_events_has_an_answer_without_statuses() -> None:
    assert collector(MemoryRecordProducer(clock=ManualClock(NOW_S))).record([], now_s=NOW_S).result(10) == []


def test_items_are_written_removed_or_refused_each_with_its_status() -> None:
    broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
    writer = CatalogWriter(broker, topic="catalog", rejected_topic="catalog.rejected")
    late = CatalogItem(item_id="late", title="x")
    late.publish_time.seconds = 10**15
    items = [
        CatalogItem(item_id="i1", title="Red dress", images=[Image(content=b"\x89PNG")]),
        CatalogItem(item_id="", title="x"),
        CatalogItem(item_id="i3", title="  "),
        CatalogItem(item_id="i4", title="x", price=float("inf")),
        CatalogItem(item_id="i" * 300, title="x"),
        CatalogItem(item_id="big", title="x", images=[Image(content=bytes(6_000_000))]),
        late,
    ]
    statuses = writer.upsert(items, ["i9", ""], now_s=NOW_S)
    assert [(s.outcome, s.reason) for s in statuses] == [
        (ACKNOWLEDGED, ""),
        (REJECTED, "missing_item_id"),
        (REJECTED, "missing_title"),
        (REJECTED, "bad_price"),
        (REJECTED, "bad_id"),
        (REJECTED, "too_large"),
        (REJECTED, "bad_time"),
        (ACKNOWLEDGED, ""),
        (REJECTED, "missing_item_id"),
    ]
    records = {r.key: r.value for r in broker.records("catalog")}
    assert records[b"i9"] is None
    assert b'"title": "Red dress"' in (records[b"i1"] or b"")
    assert writer.counts().rejected["missing_title"] == 1
    assert sum(number for _, _, number in writer.counts().answers()) == len(statuses)
    refused = [decode_rejected(record.value) for record in broker.records("catalog.rejected")]
    assert Counter(row["reason"] for row in refused) == Counter(s.reason for s in statuses if s.reason)
    (large,) = (row for row in refused if row["reason"] == "too_large")
    assert is_cut(large)
    assert next(row for row in refused if row["reason"] == "bad_id")["original_key"] == b"i" * 300
    broker.available = False
    assert writer.upsert(items[:1], [], now_s=NOW_S)[0].outcome == RETRY


def test_an_item_that_is_published_later_is_taken_and_told_when_it_will_be_shown() -> None:
    writer = CatalogWriter(
        MemoryRecordProducer(clock=ManualClock(NOW_S)), topic="catalog", rejected_topic="catalog.rejected"
    )
    later = CatalogItem(item_id="later", title="x")
    later.publish_time.FromJsonString("2099-01-01T00:00:00Z")
    (status,) = writer.upsert([later], [], now_s=NOW_S)
    assert status.outcome == ACKNOWLEDGED
    assert "2099-01-01T00:00:00Z" in status.detail
    gone = CatalogItem(item_id="gone", title="x")
    gone.expire_time.FromJsonString("2001-01-01T00:00:00Z")
    (status,) = writer.upsert([gone], [], now_s=NOW_S)
    assert status.outcome == ACKNOWLEDGED
    assert status.detail == "not shown since its expire_time, 2001-01-01T00:00:00Z"


def test_a_storefront_cannot_say_that_an_event_was_submitted_again() -> None:
    broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
    claimed = event("a", context={"mmrec.resubmitted": "c/t/0:1"})
    (status,) = collector(broker).record([claimed], now_s=NOW_S).result(10)
    assert (status.outcome, status.reason) == (REJECTED, "bad_id")
    assert "reserved" in status.detail
    assert broker.records(TOPICS.behavior_events) == []


def test_the_figures_of_a_collector_come_back_from_its_document() -> None:
    figures = CollectorFigures(
        in_flight=3,
        events=OutcomeCounts(acknowledged=7, rejected=Counter(bad_id=2, bad_time=1)),
        items=OutcomeCounts(acknowledged=1, retry=Counter(unavailable=4)),
        overlay={"overlay_entries": 5, "overlay_dropped": 0},
    )
    document = {"ready": True, "pid": 1, **figures.document()}
    assert collector_figures_in(document) == figures
    assert (document["rejected"], document["rejected.bad_id"], document["items.retry.unavailable"]) == (3, 2, 4)


def test_each_answer_is_listed_once_with_its_reason() -> None:
    counts = OutcomeCounts(acknowledged=7, rejected=Counter(bad_id=2), retry=Counter(overloaded=1))
    assert [*counts.answers()] == [("acknowledged", "", 7), ("rejected", "bad_id", 2), ("retry", "overloaded", 1)]
    assert ([*OutcomeCounts().answers()], OutcomeCounts().document()) == ([], {})
