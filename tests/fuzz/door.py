"""What a way in is to a fuzzer, and what must hold of it: the oracle.

Every input is accepted or refused with a reason, nothing after it is lost, no process ends:

    1. one outcome per input; it is accepted, or refused with a reason and a detail;
    2. valid inputs, before, between and behind the others, are accepted and come out as they went in;
    3. nothing is raised, and nothing that a door knows to be wrong (two readers that disagree, a status code that says
       "our fault") is seen;
    4. one batch takes bounded memory.

A door that ends the whole process, or never answers, is found by the watchdog of tests/fuzz/engine.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

Parts = tuple[bytes | None, ...]
"""An input as bytes: key and value of a record, a serialized request, a file. None stands for an absent part."""
NO_DETAIL: Final = "-"
"""Detail of refusals whose way in has room for a reason alone."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """One input."""

    parts: Parts
    valid: bool = False
    """A sentinel: it must come out as it went in."""
    made_by: str = "valid"
    """What broke it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input."""

    accepted: bool
    reason: str = ""
    """Why it was refused."""
    detail: str = ""
    intact: bool = True
    """Of an accepted one: what it said came out on the other side."""
    problem: str = ""
    """What the door itself saw to be wrong; the first word or two tell the kind."""


def accepted(*, intact: bool = True, problem: str = "") -> Outcome:
    """The outcome of an input that was taken."""
    return Outcome(accepted=True, intact=intact, problem=problem)


def refused(reason: str, detail: str, *, problem: str = "") -> Outcome:
    """The outcome of an input that was not."""
    return Outcome(accepted=False, reason=reason, detail=detail, problem=problem)


class Door(Protocol):
    """A way in. It is fed batches for as long as the run takes, always by one thread."""

    name: str
    batch: int
    """Inputs of one feed()."""
    seeds: int
    """Batches of the suite's run."""

    def valid(self, rng: Random, number: int) -> Parts:
        """An input that must be taken; `number` is never given twice, so that it can carry an id of its own."""
        ...

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        """An input that may be refused."""
        ...

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        """Bring all of them in, in order; one outcome each, in their order."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


def problem_of(fuzzed: Fuzzed, outcome: Outcome) -> str:
    """What the oracle has against an outcome; "" where nothing."""
    if outcome.problem:
        return outcome.problem
    if fuzzed.valid and not outcome.accepted:
        return f"a valid input is refused: {outcome.reason}: {outcome.detail}"
    if fuzzed.valid and not outcome.intact:
        return "a valid input does not come out as it went in"
    if not outcome.accepted and not (outcome.reason and outcome.detail):
        return f"a refusal lacks its {'detail' if outcome.reason else 'reason'}"
    return ""
