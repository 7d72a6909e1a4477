"""Refused records, read back from the rejected topic and sent again: those that were refused, and broken refusals."""

from collections.abc import Sequence
from random import Random
from typing import Any

from mmrec.config import KafkaSettings
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.rejected import encode_rejected
from mmrec.events.resubmit import EventDoor, Fate, RefusedRecord, RefusedRecords, ResubmitTopics, resubmit
from mmrec.events.rules import EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import Behavior, behavior_set
from tests.fuzz.byte_damage import damaged
from tests.fuzz.door import NO_DETAIL, Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, clock, event_document, key_of, malformed_event
from tests.fuzz.json_damage import damaged_document, written

KAFKA = KafkaSettings()
SINCE = behavior_set([*BEHAVIORS.behaviors, Behavior(name="stare", behavior_id=17, weight=1.0)])
"""What is configured by the time of the resubmission."""
TOPICS = ResubmitTopics(records=KAFKA.behavior_events, rejected=KAFKA.rejected)


class ResubmissionDoor:
    """RefusedRecords and resubmit; an input is the value of a record of the rejected topic."""

    name = "events.resubmission"
    batch = 150
    seeds = 4

    def valid(self, rng: Random, number: int) -> Parts:
        document = {**event_document(rng, number), "behavior": "stare"}
        key, value = key_of(document), written(document).encode()
        return (_refusal(key, value, "unknown_behavior", number, cluster_id="sentinels"),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        broken = malformed_event(rng, number)
        value = _refusal(*broken.parts, "malformed_json", number)
        kind = rng.randrange(3)
        if kind == 0:
            return Fuzzed((value,), made_by=f"refusal of {broken.made_by}")
        if kind == 1:
            value, made_by = damaged(value, rng)
            return Fuzzed((value,), made_by=made_by)
        row = {
            "reason": "unknown_behavior",
            "detail": "behavior is 'stare'",
            "cluster_id": "c",
            "topic_id": "t",
            "partition": 0,
            "offset": str(number),
            "original_key": "dTE=",
            "original_value": "e30=",
            "ingest_time": "2026-01-01T00:00:00Z",
        }
        value, made_by = damaged_document(row, rng)
        return Fuzzed((value,), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        broker = MemoryRecordProducer(clock=clock(), num_partitions=1)
        for fuzzed in inputs:
            broker.send(KAFKA.rejected, b"", fuzzed.parts[0])
        refusals = RefusedRecords(
            lambda: broker.records(KAFKA.rejected),
            cluster_id="c",
            topic_id="r",
            door=EventDoor(behaviors=SINCE, settings=SETTINGS, now_s=NOW_S),
        )
        told = {int(record.place.rpartition(":")[2]): record for record in refusals}
        num_sendable = sum(record.fate is Fate.SENDABLE for record in told.values())
        if (num_sent := resubmit(refusals, broker, TOPICS)) != num_sendable:
            raise LookupError(f"{num_sent} of {num_sendable} records sent again")
        if (num_again := resubmit(refusals, broker, TOPICS)) != 0:
            raise LookupError(f"{num_again} records sent a third time")
        sent = {}
        for record in broker.records(KAFKA.behavior_events):
            said = decode_record(record.key, record.value, ingest_time_s=NOW_S, behaviors=SINCE, settings=SETTINGS)
            if isinstance(said, Refusal):
                raise LookupError(f"what was sent again is refused again: {said}")
            sent[said.event_id] = said
        return [self._outcome(fuzzed, told.get(at), sent) for at, fuzzed in enumerate(inputs)]

    def _outcome(self, fuzzed: Fuzzed, record: RefusedRecord | None, sent: dict[str, EventFields]) -> Outcome:
        if record is None:
            return refused("unreadable", NO_DETAIL)
        if record.fate is not Fate.SENDABLE:
            return refused(record.fate.value, record.now or NO_DETAIL)
        if not fuzzed.valid:
            return accepted()
        said = decode_record(
            record.row["original_key"],
            record.row["original_value"],
            ingest_time_s=NOW_S,
            behaviors=SINCE,
            settings=SETTINGS,
        )
        assert isinstance(said, EventFields)
        again = sent.get(said.event_id)
        same = again is not None and (again.item_id, again.price) == (said.item_id, said.price)
        return accepted(intact=same)

    def close(self) -> None:
        """Nothing was opened."""


def _refusal(key: bytes | None, value: bytes | None, reason: str, offset: int, *, cluster_id: str = "c") -> bytes:
    row: dict[str, Any] = {
        "reason": reason,
        "detail": "as it was",
        "cluster_id": cluster_id,
        "topic_id": "t",
        "partition": 0,
        "offset": offset,
        "original_key": key,
        "original_value": value,
        "ingest_time_s": NOW_S - 5_000.0,
    }
    return encode_rejected(row)[1]
