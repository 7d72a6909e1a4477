"""What became of one record that the scoring stream read, in memory or with all engines: log and refusals say it."""

from collections.abc import Callable, Mapping
from typing import Any

from mmrec.events.control import CONTROL_BEHAVIORS
from mmrec.events.rules import EventFields, Refusal
from tests.fuzz.door import Fuzzed, Outcome, accepted, refused

Row = Mapping[str, Any]


def stream_outcome(
    fuzzed: Fuzzed,
    said: EventFields | Refusal,
    *,
    logged: Row | None,
    told: Row | None,
    has_profile: Callable[[str], bool],
) -> Outcome:
    """The outcome of a record, with the problem where the stream and the reference decoder disagree.

    Args:
        said: What the reference decoder makes of it.
        logged: Its row of the event log; None where it has none.
        told: Its row on the rejected topic, likewise.
        has_profile: Whether the store has a profile of a user key.
    """
    if isinstance(said, Refusal):
        if logged is not None:
            return accepted(problem=f"logged, and refused by the reference: {said}")
        if told is None:
            return refused("", "", problem=f"refused, and not on the rejected topic: {said}")
        problem = "" if told["reason"] == said.reason.value else f"told another reason than {said.reason}"
        return refused(told["reason"], told["detail"], problem=problem)
    if told is not None:
        return refused(told["reason"], told["detail"], problem=f"refused, the reference takes it: {told['reason']}")
    if not fuzzed.valid:
        # A repeat of somebody's event id, a login that changes nothing and a request to forget leave no row.
        return accepted()
    if said.behavior in CONTROL_BEHAVIORS or logged is None or logged["event_id"] != said.event_id:
        return accepted(intact=False)
    return accepted(intact=has_profile(logged["user_key"]))
