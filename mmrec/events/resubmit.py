"""Refused records, checked again: which ones could be sent now, and sending each of them once.

    refused = RefusedRecords(read, cluster_id=..., topic_id=..., door=EventDoor(...))
    for record in refused: record.fate, record.row
    resubmit(refused, producer, ResubmitTopics(records="behavior-events", rejected=...), told=...)

A door decides what would happen to a record now: EventDoor here, ItemDoor in mmrec.catalog.resubmit.

The rejected topic itself remembers what was sent: a record with reason `resubmitted` names the place of the refused
record as its source and offset, and is written once the broker has the event. A run that is killed between the two
sends the event again under its own event_id, which the user's ring counts once. Copies of a refused record, left by a
crash of the stream, have the same origin and are treated as one record.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import RESUBMITTED
from mmrec.events.producer import RecordPlace, RecordProducer, TopicRecord
from mmrec.events.rejected import decode_rejected, encode_rejected, is_cut
from mmrec.events.rules import Refusal, decode_record
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.wire.instants import rfc3339
from mmrec.wire.portions import portions

MARKER: Final = "resubmitted"
"""Reason of the records that mark what was sent again."""
PORTION: Final = 500
"""Records sent before their markers are written; a killed run may send this many twice."""


class ResubmitTopics(NamedTuple):
    """The topic that records are sent to again, and the topic with the refusals and markers."""

    records: str
    rejected: str


class Fate(Enum):
    """What can be done with a refused record."""

    SENDABLE = "sendable"
    """It would be accepted now."""
    REFUSED = "refused"
    """It would be refused again."""
    CUT = "cut"
    """Only its beginning was kept."""
    SENT = "sent"
    """It was sent again before."""
    SUPERSEDED = "superseded"
    """The topic has a newer state of the same item, which this one would undo."""
    COPY = "copy"
    """An earlier record is a copy of the same refusal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RefusedRecord:
    """One record of the rejected topic."""

    place: str
    """cluster/topic/partition:offset in the rejected topic."""
    row: dict[str, Any]
    """As decode_rejected."""
    fate: Fate
    now: str
    """Reason and detail for which it would be refused now; empty where it would be accepted."""
    value: bytes
    """What would be sent."""


class Door(Protocol):
    """Decides what would happen to a refused record if it arrived now."""

    def expect(self, keys: Collection[bytes]) -> None:
        """Called before each round with the keys of all refused records."""
        ...

    def refusal(self, key: bytes, value: bytes) -> str:
        """Reason and detail for which it would be refused; "" where it would be accepted."""
        ...

    def is_superseded(self, row: Mapping[str, Any]) -> bool:
        """Whether something newer was accepted that this refused record would undo."""
        ...

    def marked(self, row: Mapping[str, Any], *, place: str) -> bytes:
        """The value to send for a record that would be accepted.

        Args:
            row: As decode_rejected.
            place: Its place in the rejected topic.
        """
        ...


class EventDoor:
    """The rules of behavior events. Events are judged one by one; none undoes another."""

    def __init__(
        self, *, behaviors: BehaviorSet, settings: EventSettings, now_s: float, as_they_were: bool = False
    ) -> None:
        """Judge by these rules.

        Args:
            now_s: Instant that event times are judged against.
            as_they_were: Send the original bytes; else the place is added to the context, which exempts the event from
                caps, and an absent event_time is filled in by the instant the record first came in.
        """
        self._behaviors, self._settings = behaviors, settings
        self._now_s, self._as_they_were = now_s, as_they_were

    def expect(self, keys: Collection[bytes]) -> None:
        """Nothing to prepare."""

    def refusal(self, key: bytes, value: bytes) -> str:
        """See Door."""
        found = decode_record(key, value, ingest_time_s=self._now_s, behaviors=self._behaviors, settings=self._settings)
        return f"{found.reason.value}: {found.detail}" if isinstance(found, Refusal) else ""

    def is_superseded(self, row: Mapping[str, Any]) -> bool:
        """Never."""
        return False

    def marked(self, row: Mapping[str, Any], *, place: str) -> bytes:
        """See Door."""
        value: bytes = row["original_value"]
        return value if self._as_they_were else with_marker(value, place=place, ingest_time_s=row["ingest_time_s"])


class RefusedRecords:
    """The refused records of a topic, in its order, without markers. Can be iterated over many times."""

    def __init__(
        self,
        read: Callable[[], Iterable[TopicRecord]],
        *,
        cluster_id: str,
        topic_id: str,
        door: Door,
        reason: str = "",
        since_s: float = 0.0,
    ) -> None:
        """Nothing is read yet.

        Args:
            read: All records of the rejected topic, ordered within each partition.
            cluster_id: The rejected topic's, for places.
            topic_id: The same.
            door: What judges the records now.
            reason: Only these; all where empty.
            since_s: Only records that came in at this instant or later.
        """
        self._read = read
        self._topic = f"{cluster_id}/{topic_id}"
        self._door = door
        self._reason = reason
        self._since_s = since_s
        self.num_unreadable = 0
        """Records of the last round that hold no refusal."""

    def __iter__(self) -> Iterator[RefusedRecord]:
        sent, keys = self._sent_before()
        self._door.expect(keys)
        seen: set[bytes] = set()
        self.num_unreadable = 0
        for record in self._read():
            row = _row(record)
            if row is None:
                self.num_unreadable += 1
                continue
            if row["reason"] == MARKER:
                continue
            place = f"{self._topic}/{record.partition}:{record.offset}"
            origin = _origin(row, place)
            is_copy = origin in seen
            seen.add(origin)
            if row["ingest_time_s"] >= self._since_s and self._reason in ("", row["reason"]):
                fate, now, value = self._fate(row, place, is_copy=is_copy, is_sent=place in sent)
                yield RefusedRecord(place=place, row=row, fate=fate, now=now, value=value)

    def _sent_before(self) -> tuple[set[str], set[bytes]]:
        """Places of records that were sent again, and the keys of all."""
        sent, keys = set(), set()
        for row in (_row(record) for record in self._read()):
            if row is not None and row["reason"] == MARKER:
                sent.add(f"{row['cluster_id']}/{row['topic_id']}/{row['partition']}:{row['offset']}")
            elif row is not None:
                keys.add(row["original_key"])
        return sent, keys

    def _fate(self, row: dict[str, Any], place: str, *, is_copy: bool, is_sent: bool) -> tuple[Fate, str, bytes]:
        value: bytes = row["original_value"]
        if is_copy or is_sent:
            return Fate.COPY if is_copy else Fate.SENT, "", value
        if is_cut(row):
            return Fate.CUT, "", value
        refusal = self._door.refusal(row["original_key"], value)
        if not refusal:
            value = self._door.marked(row, place=place)
            refusal = self._door.refusal(row["original_key"], value)
        if refusal:
            return Fate.REFUSED, refusal, row["original_value"]
        if self._door.is_superseded(row):
            return Fate.SUPERSEDED, "", value
        return Fate.SENDABLE, "", value


def with_marker(value: bytes, *, place: str, ingest_time_s: float) -> bytes:
    """An event's JSON with `place` in its context, and its event time filled in where it had none.

    Args:
        value: JSON that the codec takes.
        ingest_time_s: When the record first came in: an event without a time happened then, not now.
    """
    document: dict[str, Any] = json.loads(value)
    document["context"] = {**(document.get("context") or {}), RESUBMITTED: place}
    if document.get("event_time") is None and document.get("eventTime") is None:
        document.pop("eventTime", None)
        document["event_time"] = rfc3339(ingest_time_s)
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair in a field that nobody reads
        return json.dumps(document, separators=(",", ":")).encode("utf-8")


def resubmit(
    records: Iterable[RefusedRecord],
    producer: RecordProducer,
    topics: ResubmitTopics,
    *,
    max_records: int | None = None,
    portion: int = PORTION,
    told: Callable[[int], None] = lambda count: None,
) -> int:
    """Send what can be sent to its topic, and a marker for each once the broker has it.

    Args:
        max_records: End after this many.
        portion: Records sent before their markers are written.
        told: Called with the number of records of each portion that is done.

    Returns:
        How many were sent.

    Raises:
        StoreError: the broker did not accept one. Those it accepted are marked, and the next run continues after them.
    """
    sendable = islice((record for record in records if record.fate is Fate.SENDABLE), max_records)
    num_sent = 0
    for together in portions(sendable, portion):
        under_way = [producer.send(topics.records, r.row["original_key"], r.value) for r in together]
        taken = [record for record, sent in zip(together, under_way, strict=True) if _settled(sent)]
        producer.send_many(topics.rejected, (_marker(record) for record in taken))
        num_sent += len(taken)
        told(len(taken))
        for sent in under_way:
            sent.result()
    return num_sent


def _settled(sent: "Future[RecordPlace]") -> bool:
    return sent.exception() is None


def _marker(record: RefusedRecord) -> tuple[bytes, bytes]:
    topic, _, number = record.place.rpartition("/")
    cluster_id, _, topic_id = topic.rpartition("/")
    partition, _, offset = number.partition(":")
    row = {
        **record.row,
        "reason": MARKER,
        "detail": f"{record.row['reason']}; it was sent again",
        "original_value": b"",
    }
    place = {"cluster_id": cluster_id, "topic_id": topic_id, "partition": int(partition), "offset": int(offset)}
    return encode_rejected({**row, **place})


def _row(record: TopicRecord) -> dict[str, Any] | None:
    try:
        return decode_rejected(record.value or b"")
    except InvalidRequestError:
        return None


def _origin(row: dict[str, Any], place: str) -> bytes:
    """What all copies of one refusal have in common; a record that was never on a broker has no copies."""
    source = f"{row['cluster_id']}/{row['topic_id']}/{row['partition']}:{row['offset']}"
    return hashlib.blake2b((source if row["offset"] >= 0 else place).encode(), digest_size=16).digest()
