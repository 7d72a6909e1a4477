"""Records of behavior-events as the stream decodes them: the vectorized codec and the reference must say the same."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow as pa

from mmrec.events.codec import decode_batch
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA, user_key
from mmrec.events.control import CONTROL_BEHAVIORS, IDENTIFY
from mmrec.events.rules import EventFields, Refusal, decode_record
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, malformed_event, valid_event


class CodecDoor:
    """decode_batch beside decode_record."""

    name = "events.codec"
    batch = 400
    seeds = 6

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_event(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_event(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        decoded = decode_batch(
            raw_table([fuzzed.parts for fuzzed in inputs]),
            cluster_id="c",
            topic_id="t",
            behaviors=BEHAVIORS,
            settings=SETTINGS,
        )
        events = _by_offset(decoded.events)
        control = _by_offset(decoded.control)
        refusals = _by_offset(decoded.rejected)
        return [
            self._outcome(fuzzed.parts, events.get(row), control.get(row), refusals.get(row))
            for row, fuzzed in enumerate(inputs)
        ]

    def _outcome(self, parts: Parts, event: Any, control: Any, refusal: Any) -> Outcome:
        if sum(found is not None for found in (event, control, refusal)) != 1:
            return accepted(problem=f"stands in {bool(event)}, {bool(control)}, {bool(refusal)} of the three tables")
        said = decode_record(*parts, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS)
        if refusal is not None:
            kept = (refusal["original_key"], refusal["original_value"]) == parts
            problem = "" if kept else "a refusal does not keep its original"
            if not isinstance(said, Refusal) or (said.reason.value, said.detail) != (
                refusal["reason"],
                refusal["detail"],
            ):
                problem = f"refused by the batch, the reference says otherwise: {refusal['reason']} / {said}"
            return refused(refusal["reason"], refusal["detail"], problem=problem)
        if isinstance(said, Refusal):
            return accepted(problem=f"taken by the batch, refused by the reference: {said}")
        if (said.behavior in CONTROL_BEHAVIORS) != (control is not None):
            return accepted(problem=f"control and event mixed up: {said.behavior}")
        row = event if event is not None else control
        lost = {name: (row[name], value) for name, value in expected_row(said).items() if row[name] != value}
        return accepted(problem=f"batch and reference read other values: {lost}" if lost else "")

    def close(self) -> None:
        """Nothing was opened."""


def raw_table(records: Sequence[Parts]) -> pa.Table:
    """RAW_SCHEMA of records whose offsets are their rows."""
    return pa.table(
        {
            "key": pa.array([key for key, _ in records], pa.binary()),
            "value": pa.array([value for _, value in records], pa.binary()),
            "partition": pa.array([0] * len(records), pa.int32()),
            "offset": pa.array(range(len(records)), pa.int64()),
            "ingest_time_s": pa.array([NOW_S] * len(records), pa.float64()),
        },
        schema=RAW_SCHEMA,
    )


def expected_row(said: EventFields) -> dict[str, Any]:
    """Columns of EVENT_SCHEMA that a record's own fields decide."""
    named = {name: getattr(said, name) for name in EVENT_SCHEMA.names if hasattr(said, name)}
    named["user_key"] = user_key(said.user_id, said.anonymous_id)
    if said.behavior in CONTROL_BEHAVIORS:
        named["item_id"] = user_key("", said.anonymous_id) if said.behavior == IDENTIFY else ""
        named["imported"] = said.imported and said.behavior == IDENTIFY
    return named


def _by_offset(table: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["offset"]: row for row in table.to_pylist()}
