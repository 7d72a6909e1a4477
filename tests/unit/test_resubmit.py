"""Refused records are told by reason, and each is sent again once, whatever happens in between."""

import io
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mmrec.cli.rejected_commands import instant
from mmrec.cli.rejected_report import full_lines, print_groups, record_line
from mmrec.clock import ManualClock
from mmrec.config import EventSettings, KafkaSettings
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.columns import RAW_SCHEMA, RESUBMITTED
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.rejected import MAX_KEPT_BYTES, decode_rejected, encode_rejected, is_cut
from mmrec.events.resubmit import MARKER, PORTION, EventDoor, Fate, RefusedRecords, ResubmitTopics, resubmit
from mmrec.events.rules import EventFields, decode_record
from mmrec.operating.reason_groups import by_reason, groups_document
from mmrec.scoring.behaviors import Behavior, BehaviorSet, behavior_set, shop_behaviors
from mmrec.stream.rows import RecordKind, StreamTopic, decode_rows

NOW_S = 1_767_225_600.0
KAFKA = KafkaSettings()
TOPICS = ResubmitTopics(records=KAFKA.behavior_events, rejected=KAFKA.rejected)
SHOP = shop_behaviors()
STARE = behavior_set([*SHOP.behaviors, Behavior(name="stare", behavior_id=17, weight=1.0)])


class Broker(MemoryRecordProducer):
    """A broker in memory that can be lost after a number of sends to a topic."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(NOW_S))
        self.dies_at: dict[str, int] = {}

    def send(self, topic, key, value):
        if topic in self.dies_at:
            self.available = self.dies_at[topic] > 0
            self.dies_at[topic] -= 1
        try:
            return super().send(topic, key, value)
        finally:
            self.available = True

    def refuse(self, *, offset: int, reason: str = "unknown_behavior", detail: str = "", **event: object) -> None:
        fields = {"event_id": f"e{offset}", "user_id": "u1", "item_id": "i1", "behavior": "stare", **event}
        value = event["value"] if "value" in event else json.dumps(fields).encode()
        row = {
            "reason": reason,
            "detail": detail or "behavior is 'stare'",
            "cluster_id": "c",
            "topic_id": "t",
            "partition": 0,
            "offset": offset,
            "original_key": str(fields["user_id"]).encode(),
            "original_value": value,
            "ingest_time_s": NOW_S - 1_000.0 + offset,
        }
        self.send(KAFKA.rejected, *encode_rejected(row))

    def refused(
        self, behaviors: BehaviorSet = STARE, *, as_they_were: bool = False, **chosen: object
    ) -> RefusedRecords:
        return RefusedRecords(
            lambda: self.records(KAFKA.rejected),
            cluster_id="c",
            topic_id="r",
            door=EventDoor(behaviors=behaviors, settings=EventSettings(), now_s=NOW_S, as_they_were=as_they_were),
            **chosen,
        )

    def sent(self) -> list[dict]:
        return [json.loads(record.value) for record in self.records(KAFKA.behavior_events)]


@pytest.fixture
def broker() -> Broker:
    return Broker()


def fates(refused: RefusedRecords) -> Counter[Fate]:
    return Counter(record.fate for record in refused)


def test_a_record_is_sent_once_it_would_be_taken_and_never_again(broker: Broker) -> None:
    for offset in range(3):
        broker.refuse(offset=offset)
    assert fates(broker.refused(SHOP)) == {Fate.REFUSED: 3}
    assert resubmit(broker.refused(SHOP), broker, TOPICS) == 0
    assert resubmit(broker.refused(), broker, TOPICS) == 3
    assert fates(broker.refused()) == {Fate.SENT: 3}
    assert resubmit(broker.refused(), broker, TOPICS) == 0
    assert [event["event_id"] for event in broker.sent()] == ["e0", "e1", "e2"]


def test_what_is_sent_names_its_place_and_keeps_its_instant(broker: Broker) -> None:
    broker.refuse(offset=0, context={"page": "home"}, extra=[1, 2])
    broker.refuse(offset=1, eventTime="2025-01-01T00:00:00Z")
    refused = list(broker.refused())
    resubmit(refused, broker, TOPICS)
    first, second = broker.sent()
    assert first["context"] == {"page": "home", RESUBMITTED: refused[0].place}
    assert first["extra"] == [1, 2]
    assert first["event_time"] == "2025-12-31T23:43:20Z"  # when it first came in
    assert second["eventTime"] == "2025-01-01T00:00:00Z"
    assert "event_time" not in second
    for record in broker.records(KAFKA.behavior_events):
        taken = decode_record(record.key, record.value, ingest_time_s=NOW_S, behaviors=STARE, settings=EventSettings())
        assert isinstance(taken, EventFields)


def test_as_they_were_sends_the_very_bytes(broker: Broker) -> None:
    value = b'{ "event_id":"e","user_id":"u1","item_id":"i1","behavior":"stare" }'
    broker.refuse(offset=0, value=value)
    resubmit(broker.refused(as_they_were=True), broker, TOPICS)
    assert [record.value for record in broker.records(KAFKA.behavior_events)] == [value]
    assert fates(broker.refused()) == {Fate.SENT: 1}


def test_copies_that_a_crash_of_the_stream_left_are_one_record(broker: Broker) -> None:
    for offset in (5, 5, 6, 5):
        broker.refuse(offset=offset)
    assert fates(broker.refused()) == {Fate.SENDABLE: 2, Fate.COPY: 2}
    assert resubmit(broker.refused(), broker, TOPICS) == 2
    broker.refuse(offset=5)  # a copy that comes later still
    assert resubmit(broker.refused(), broker, TOPICS) == 0


def test_refusals_of_the_collector_have_no_copies(broker: Broker) -> None:
    for event_id in ("a", "b"):
        broker.refuse(offset=-1, event_id=event_id)
    assert resubmit(broker.refused(), broker, TOPICS) == 2


def test_records_kept_by_their_beginning_are_told_and_not_sent(broker: Broker) -> None:
    settings = EventSettings(max_value_bytes=100)
    topic = StreamTopic(name="b", cluster_id="c", topic_id="t", kind=RecordKind.BEHAVIOR_EVENT)
    raw = pa.table(
        [["b"], [b"u1"], [b" " * 101], [0], [7], [NOW_S]],
        schema=pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA]),
    )
    (row,) = decode_rows(raw, {"b": topic}, behaviors=SHOP, settings=settings).to_pylist()
    assert is_cut(row)
    broker.refuse(offset=0, reason="too_large", detail=row["detail"])
    broker.refuse(offset=1, reason="too_large", detail="the value has 70000 bytes; at most 65536")
    broker.refuse(offset=2, reason="too_large", detail="long", value=b" " * (MAX_KEPT_BYTES + 1))
    assert [record.fate for record in broker.refused()] == [Fate.CUT, Fate.SENDABLE, Fate.CUT]
    assert resubmit(broker.refused(), broker, TOPICS) == 1


@given(
    num_records=st.integers(0, 23),
    deaths=st.lists(
        st.tuples(st.sampled_from([KAFKA.behavior_events, KAFKA.rejected]), st.integers(0, 12)), max_size=3
    ),
)
def test_whatever_fails_in_between_every_record_is_sent_and_few_twice(
    num_records: int, deaths: list[tuple[str, int]]
) -> None:
    broker = Broker()
    for offset in range(num_records):
        broker.refuse(offset=offset)
    for topic, sends in deaths:
        broker.dies_at = {topic: sends}
        with suppress(StoreError):
            resubmit(broker.refused(), broker, TOPICS, portion=5)
    broker.dies_at = {}
    resubmit(broker.refused(), broker, TOPICS, portion=5)
    assert resubmit(broker.refused(), broker, TOPICS) == 0
    times = Counter(event["event_id"] for event in broker.sent())
    assert set(times) == {f"e{n}" for n in range(num_records)}
    assert sum(times.values()) - num_records <= 5 * len(deaths)


def test_a_place_is_forgotten_with_its_topic(broker: Broker) -> None:
    broker.refuse(offset=0)
    resubmit(broker.refused(), broker, TOPICS)
    row = decode_rejected(broker.records(KAFKA.rejected)[-1].value)
    assert (row["reason"], row["cluster_id"], row["topic_id"]) == (MARKER, "c", "r")
    assert row["original_value"] == b""
    made_anew = RefusedRecords(
        lambda: broker.records(KAFKA.rejected),
        cluster_id="c",
        topic_id="another",
        door=EventDoor(behaviors=STARE, settings=EventSettings(), now_s=NOW_S),
    )
    assert fates(made_anew) == {Fate.SENDABLE: 1}


def test_only_what_was_asked_for_is_looked_at(broker: Broker) -> None:
    broker.refuse(offset=0)
    broker.refuse(offset=900)
    broker.refuse(offset=901, reason="bot", behavior="browse")
    assert fates(broker.refused(since_s=NOW_S - 200)) == {Fate.SENDABLE: 2}
    assert resubmit(broker.refused(reason="bot"), broker, TOPICS) == 1
    assert resubmit(broker.refused(), broker, TOPICS, max_records=1) == 1
    assert fates(broker.refused()) == {Fate.SENT: 2, Fate.SENDABLE: 1}


def test_groups_count_every_record_once_and_show_the_newest(broker: Broker) -> None:
    for offset in (1, 2, 2):
        broker.refuse(offset=offset)
    broker.refuse(offset=3, reason="malformed_json", detail="line 1", value=b"\x1b[2J{")
    broker.send(KAFKA.rejected, b"", b"not ours")
    resubmit(list(broker.refused())[:1], broker, TOPICS)
    refused = broker.refused()
    groups = by_reason(refused)
    assert [(g.reason, g.num_records) for g in groups] == [("unknown_behavior", 2), ("malformed_json", 1)]
    assert groups[0].fates == {Fate.SENT: 1, Fate.SENDABLE: 1}
    assert groups[0].first_s == NOW_S - 999.0
    assert groups[0].newest.row["offset"] == 2
    assert refused.num_unreadable == 1
    assert record_line(groups[0].newest) == "behavior is 'stare'; u1 stare i1 (e2)"
    text = io.StringIO()
    print_groups(groups, Console(file=text, width=160))
    for line in [*text.getvalue().splitlines(), *full_lines(groups[1].newest)]:
        assert line.isprintable()
    assert "2025-12-31 23:43:22" in text.getvalue()
    assert json.loads(json.dumps(groups_document(groups)))[1]["newest"]["original_value"] == "\x1b[2J{"


def test_since_is_an_instant_or_a_span() -> None:
    assert instant("2h", now_s=NOW_S) == NOW_S - 7_200
    assert instant("1.5min", now_s=NOW_S) == NOW_S - 90
    assert instant("2026-01-01T00:00:00Z", now_s=NOW_S) == NOW_S
    with pytest.raises(InvalidRequestError, match="yesterday"):
        instant("yesterday", now_s=NOW_S)


def test_progress_is_told_by_portion(broker: Broker) -> None:
    for offset in range(PORTION + 1):
        broker.refuse(offset=offset)
    told: list[int] = []
    tell: Callable[[int], None] = told.append
    resubmit(broker.refused(), broker, TOPICS, told=tell)
    assert told == [PORTION, 1]


@pytest.mark.parametrize("change", [{"ingest_time": "yesterday"}, {"topic_id": None}, {"offset": [1]}])
def test_a_broken_refusal_is_counted_and_those_behind_it_are_sent(change: dict) -> None:
    broker = Broker()
    broker.refuse(offset=1)
    broken = json.loads(broker.records(KAFKA.rejected)[0].value) | change
    broker.send(KAFKA.rejected, b"u1", json.dumps(broken).encode())
    broker.refuse(offset=2)
    refused = broker.refused()
    assert [record.row["offset"] for record in refused] == [1, 2]
    assert refused.num_unreadable == 1
