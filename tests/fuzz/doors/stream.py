"""Records of behavior-events and served-lists through the scoring stream's step, on stores in memory."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import pyarrow as pa

from mmrec.config import Settings
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.log import MemoryEventLog
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.rejected import decode_rejected
from mmrec.events.rules import decode_record
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.settings import ScoringConfig
from mmrec.stream.rows import RecordKind, StreamTopic, decode_rows, split_rows
from mmrec.stream.step import ScoringStream
from tests.fuzz.door import Fuzzed, Outcome, Parts
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, clock, malformed_event, valid_event
from tests.fuzz.stream_outcome import stream_outcome

TOPICS: Final = {
    "behavior-events": StreamTopic(
        name="behavior-events", cluster_id="c", topic_id="t", kind=RecordKind.BEHAVIOR_EVENT
    ),
}


class StreamDoor:
    """Decode, judge, log, profiles, rejected topic: one micro-batch a time, of a stream that goes on."""

    name = "events.stream"
    batch = 300
    seeds = 3

    def __init__(self) -> None:
        self._settings = Settings(scoring=ScoringConfig(behaviors=BEHAVIORS, cap_events=0))
        self._open()

    def _open(self) -> None:
        self._store, self._log = MemoryFeatureStore(), MemoryEventLog()
        self._producer = MemoryRecordProducer(clock=clock(), num_partitions=1)
        self._stream = ScoringStream(
            store=self._store,
            log=self._log,
            producer=self._producer,
            forgotten=MemoryForgottenUsers(),
            settings=self._settings,
        )
        self._stream.recover(starts={}, write_time_s=NOW_S)

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_event(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_event(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        self._open()
        columns: dict[str, list[Any]] = {name: [] for name in ("topic", *RAW_SCHEMA.names)}
        for offset, fuzzed in enumerate(inputs):
            for name, cell in zip(columns, ("behavior-events", *fuzzed.parts, 0, offset, NOW_S), strict=True):
                columns[name].append(cell)
        raw = pa.table(columns, schema=pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA]))
        rows = decode_rows(raw, TOPICS, behaviors=BEHAVIORS, settings=SETTINGS)
        self._stream.process(split_rows(rows, TOPICS), write_time_s=NOW_S)
        logged = {row["offset"]: row for row in self._log.read().to_pylist()}
        told = {
            row["offset"]: row
            for record in self._producer.records(self._settings.kafka.rejected)
            if (row := decode_rejected(record.value or b""))
        }
        return [self._outcome(f, logged.get(offset), told.get(offset)) for offset, f in enumerate(inputs)]

    def _outcome(self, fuzzed: Fuzzed, logged: Any, told: Any) -> Outcome:
        said = decode_record(*fuzzed.parts, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS)
        return stream_outcome(fuzzed, said, logged=logged, told=told, has_profile=self._has_profile)

    def _has_profile(self, user_key: str) -> bool:
        return bool(self._store.read_profiles([user_key]))

    def close(self) -> None:
        """Nothing was opened."""
