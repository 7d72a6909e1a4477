"""Records that others send straight onto Kafka, followed into the overlay."""

from collections.abc import Sequence
from random import Random

from mmrec.collecting.overlay import MemoryOverlay
from mmrec.collecting.overlay_follower import OverlayFollower
from mmrec.collecting.overlay_writer import OverlayWriter
from mmrec.events.columns import user_key
from mmrec.events.control import CONTROL_BEHAVIORS
from mmrec.events.producer import TopicRecord
from mmrec.events.rules import Refusal, decode_record
from mmrec.telemetry.metrics import Metrics
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, clock, malformed_event, valid_event


class _Topic:
    def identity(self) -> tuple[str, str]:
        return "c", "t"

    def close(self) -> None:
        """Nothing was opened."""


class OverlayDoor:
    """The follower and its writer, over an overlay in memory."""

    name = "events.overlay"
    batch = 200
    seeds = 4

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_event(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_event(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        overlay = MemoryOverlay()
        writer = OverlayWriter(overlay, topic=_Topic(), read_marks=dict, merged_from=lambda _: [])
        writer.check_topic()
        follower = OverlayFollower(writer, Metrics("follow_events"), clock(), behaviors=BEHAVIORS, settings=SETTINGS)
        follower.take([TopicRecord(*f.parts, 0, at, NOW_S) for at, f in enumerate(inputs)], topic=("c", "t"))
        outcomes = [self._outcome(fuzzed, overlay) for fuzzed in inputs]
        figures = follower.figures()
        num_refused = sum(not outcome.accepted for outcome in outcomes)
        if figures.get("refused", 0) != num_refused or sum(figures.values()) != len(inputs):
            raise LookupError(f"{figures} of {len(inputs)} records, {num_refused} of which are refused")
        return outcomes

    def _outcome(self, fuzzed: Fuzzed, overlay: MemoryOverlay) -> Outcome:
        said = decode_record(*fuzzed.parts, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS)
        if isinstance(said, Refusal):
            return refused(said.reason.value, said.detail)
        if not fuzzed.valid or said.imported or said.behavior in CONTROL_BEHAVIORS:
            return accepted()
        key = user_key(said.user_id, said.anonymous_id)
        return accepted(intact=said.event_id in {entry.event_id for entry in overlay.read([key]).get(key, ())})

    def close(self) -> None:
        """Nothing was opened."""
