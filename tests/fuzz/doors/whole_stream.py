"""Records of behavior-events on a real broker, through the Spark stream to the log and to the rejected topic.

Too slow for the suite: the ten minutes of `make fuzz` have it, and `python -m tests.fuzz --door events.whole-stream`.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final

from mmrec.events.producer import RecordPlace
from mmrec.events.rejected import decode_rejected
from mmrec.events.rules import decode_record
from mmrec.stores.kafka.readers import read_topic
from mmrec.wiring import open_event_log, open_producer
from tests.benchmarks.stream_stack import StreamStack
from tests.fuzz.door import Fuzzed, Outcome, Parts
from tests.fuzz.event_inputs import malformed_event, valid_event
from tests.fuzz.stream_outcome import stream_outcome

DRAIN_S: Final = 150.0
"""The first batch waits for Spark to start."""
Place = tuple[int, int]


class WholeStreamDoor:
    """Kafka, Spark, Feast and the log as they are; the stream runs on from batch to batch."""

    name = "events.whole-stream"
    batch = 3_000
    seeds = 1

    def __init__(self) -> None:
        with ExitStack() as ending:
            folder = ending.enter_context(TemporaryDirectory(prefix="mmrec-fuzz-"))
            self._stack = ending.enter_context(StreamStack(Path(folder)))
            self._stack.start_stream()
            self._producer = open_producer(self._stack.settings)
            ending.callback(self._producer.close)
            self._log = open_event_log(self._stack.settings)
            self._ending = ending.pop_all()

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_event(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_event(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        sequence, kafka = self._log.sequence(), self._stack.settings.kafka
        # A producer of ours gives every record a key; no key and an empty one fit no event alike.
        sent = [self._producer.send(kafka.behavior_events, f.parts[0] or b"", f.parts[1]) for f in inputs]
        places = [future.result(60) for future in sent]
        self._drain()
        logged = {_place(row): row for row in self._log.read(after_sequence=sequence).to_pylist()}
        told = {}
        for record in read_topic(kafka.bootstrap, kafka.rejected):
            row = decode_rejected(record.value or b"")
            told[_place(row)] = row
        return [
            self._outcome(f, place, logged.get(place[:2]), told.get(place[:2]))
            for f, place in zip(inputs, places, strict=True)
        ]

    def _drain(self) -> None:
        give_up_s = monotonic() + DRAIN_S
        while self._stack.num_behind(self._stack.progress()) > 0:
            self._stack.check_stream()
            if monotonic() > give_up_s:
                raise TimeoutError(f"the stream is behind after {DRAIN_S:.0f} s")
            sleep(0.2)

    def _outcome(self, fuzzed: Fuzzed, place: RecordPlace, logged: Any, told: Any) -> Outcome:
        settings = self._stack.settings
        said = decode_record(
            fuzzed.parts[0] or b"",
            fuzzed.parts[1],
            ingest_time_s=place.ingest_time_s,
            behaviors=settings.behaviors,
            settings=settings.events,
        )
        return stream_outcome(fuzzed, said, logged=logged, told=told, has_profile=self._has_profile)

    def _has_profile(self, user_key: str) -> bool:
        return bool(self._stack.store.read_profiles([user_key]))

    def close(self) -> None:
        self._ending.close()


def _place(row: dict[str, Any]) -> Place:
    return row["partition"], row["offset"]
