"""Runs doors: draws inputs from a seed, feeds them in batches with valid ones between, judges, makes findings small.

found = run_door(door, seed=1, num_batches=20)
found.tally, found.violations
"""

import base64
import os
import re
import resource
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.fuzz.door import Door, Fuzzed, Outcome, Parts, problem_of
from tests.fuzz.shrinking import MAX_TRIALS, shrunk

SENTINELS: Final = 0.2
"""Share of valid inputs in a batch."""
PATIENCE_S: Final = 180.0
"""No batch takes anywhere near so long: one that does never ends."""
MAX_GROWTH_MB: Final = 1_500.0
"""By which the process's highest memory may rise in one batch; the largest picture that is read takes a third of it."""
MAX_KINDS: Final = 40
"""Kinds of violations of one door that are made small; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something the oracle does not allow, with the smallest input that was found to show it."""

    door: str
    problem: str
    parts: Parts
    made_by: str
    where: str = ""
    """Last lines of the traceback, where something was raised."""

    @property
    def kind(self) -> str:
        """What is one violation and not two."""
        return violation_kind(self.problem)

    def document(self) -> dict[str, Any]:
        """For a receipt."""
        parts = [None if part is None else base64.b64encode(part).decode() for part in self.parts]
        readable = [None if part is None else ascii(part)[:300] for part in self.parts]
        return {
            "door": self.door,
            "problem": self.problem[:600],
            "made_by": self.made_by,
            "base64": parts,
            "input": readable,
            **({"where": self.where} if self.where else {}),
        }

    def __str__(self) -> str:
        document = self.document()
        lines = [f"{self.door}: {document['problem']}", f"  broken by {self.made_by}", f"  input  {document['input']}"]
        return "\n".join([*lines, f"  base64 {document['base64']}", *([self.where] if self.where else [])])


@dataclass
class Tally:
    """Inputs of one door by what became of them."""

    malformed: int = 0
    valid: int = 0
    accepted: int = 0
    """Of the malformed ones: the damage did not matter, such as an unknown field."""
    refused: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    made_by: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass
class Found:
    """What a run of one door found."""

    tally: Tally = field(default_factory=Tally)
    violations: dict[str, Violation] = field(default_factory=dict)
    """By kind."""
    max_trials: int = MAX_TRIALS
    """Batches fed to make one violation's input small."""


def run_door(
    door: Door,
    *,
    seed: int,
    num_batches: int,
    first_batch: int = 0,
    until: Callable[[], bool] = lambda: False,
    found: Found | None = None,
) -> Found:
    """Feed a door.

    Args:
        seed: Of the run; the same seed, door and batch give the same inputs, whatever ran before.
        num_batches: Fed at most.
        first_batch: Where the numbering of batches goes on.
        until: Asked before each batch; True ends the run.
        found: Added to, where given.
    """
    found = found or Found()
    for batch in range(first_batch, first_batch + num_batches):
        if until():
            break
        began_s = time.monotonic()
        inputs = drawn(door, seed, batch)
        _judge(door, inputs, found)
        found.tally.seconds += time.monotonic() - began_s
    return found


def drawn(door: Door, seed: int, batch: int) -> list[Fuzzed]:
    """The inputs of one batch: valid ones first, last and between."""
    rng = Random(f"{seed}/{door.name}/{batch}")
    first = batch * (door.batch + 2)
    inputs = [Fuzzed(door.valid(rng, first))]
    for number in range(first + 1, first + 1 + door.batch):
        if rng.random() < SENTINELS:
            inputs.append(Fuzzed(door.valid(rng, number)))
        else:
            inputs.append(door.malformed(rng, number))
    inputs.append(Fuzzed(door.valid(rng, first + door.batch + 1)))
    return [Fuzzed(f.parts, valid=True) if f.made_by == "valid" else f for f in inputs]


def _judge(door: Door, inputs: Sequence[Fuzzed], found: Found) -> None:
    outcomes, failure = _fed(door, inputs)
    if failure is not None:
        _blame(door, inputs, failure, found)
        return
    tally = found.tally
    for fuzzed, outcome in zip(inputs, outcomes, strict=True):
        if fuzzed.valid:
            tally.valid += 1
        else:
            tally.malformed += 1
            tally.made_by[fuzzed.made_by] += 1
            tally.accepted += outcome.accepted
            if not outcome.accepted:
                tally.refused[outcome.reason] += 1
        if problem := problem_of(fuzzed, outcome):
            _note(door, [fuzzed], inputs, problem, "", found)


def _fed(door: Door, inputs: Sequence[Fuzzed]) -> tuple[list[Outcome], tuple[str, str] | None]:
    """Outcomes, or (problem, where) of a batch that did not come through."""
    before_mb = _peak_mb()
    with _watched(door, inputs):
        try:
            outcomes = door.feed(inputs)
        except Exception as error:
            return [], (f"raised {type(error).__name__}: {error}"[:500], _tail(error))
    if len(outcomes) != len(inputs):
        return [], (f"{len(outcomes)} outcomes of {len(inputs)} inputs", "")
    if (grown_mb := _peak_mb() - before_mb) > MAX_GROWTH_MB:
        return [], (f"grew by {grown_mb:.0f} MB; at most {MAX_GROWTH_MB:.0f}", "")
    return outcomes, None


def _blame(door: Door, inputs: Sequence[Fuzzed], failure: tuple[str, str], found: Found) -> None:
    """Halve a batch that did not come through down to the inputs that cause it; the others are judged."""
    if len(inputs) > 1:
        middle = len(inputs) // 2
        failed = False
        for half in (inputs[:middle], inputs[middle:]):
            outcomes, cause = _fed(door, half)
            if cause is None:
                _judge_outcomes(half, outcomes, door, inputs, found)
            else:
                failed = True
                _blame(door, half, cause, found)
        if failed:
            return
    else:
        _count(found, inputs)
    _note(door, inputs, inputs, *failure, found)


def _judge_outcomes(
    half: Sequence[Fuzzed], outcomes: Sequence[Outcome], door: Door, inputs: Sequence[Fuzzed], found: Found
) -> None:
    _count(found, half)
    for fuzzed, outcome in zip(half, outcomes, strict=True):
        if not fuzzed.valid:
            found.tally.accepted += outcome.accepted
            if not outcome.accepted:
                found.tally.refused[outcome.reason] += 1
        if problem := problem_of(fuzzed, outcome):
            _note(door, [fuzzed], inputs, problem, "", found)


def _count(found: Found, inputs: Sequence[Fuzzed]) -> None:
    found.tally.valid += sum(fuzzed.valid for fuzzed in inputs)
    found.tally.malformed += sum(not fuzzed.valid for fuzzed in inputs)


def _note(
    door: Door, guilty: Sequence[Fuzzed], batch: Sequence[Fuzzed], problem: str, where: str, found: Found
) -> None:
    kind = violation_kind(problem)
    found.tally.violations[kind] += 1
    if kind in found.violations or len(found.violations) >= MAX_KINDS:
        return
    suspect = guilty[0]
    if len(guilty) == 1 and kind not in _kinds(door, guilty):
        suspect = next((f for f in batch if not f.valid and kind in _kinds(door, [f, *guilty])), suspect)
    others = [g for g in guilty if g is not suspect]
    small = shrunk(suspect, lambda tried: kind in _kinds(door, [tried, *others]), max_trials=found.max_trials)
    found.violations[kind] = Violation(
        door=door.name, problem=problem, parts=small.parts, made_by=suspect.made_by, where=where
    )


def _kinds(door: Door, inputs: Sequence[Fuzzed]) -> set[str]:
    outcomes, failure = _fed(door, inputs)
    if failure is not None:
        return {violation_kind(failure[0])}
    problems = [problem_of(fuzzed, outcome) for fuzzed, outcome in zip(inputs, outcomes, strict=True)]
    return {violation_kind(problem) for problem in problems if problem}


def violation_kind(problem: str) -> str:
    """The first words of a problem: figures, ids and bytes behind them differ from input to input."""
    plain = re.split("['\"]", problem, maxsplit=1)[0]
    words = "".join(c if c.isalpha() or c in " _" else " " for c in plain).split()
    return " ".join(words[:9])


def _tail(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-4:])


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _watched(door: Door, inputs: Sequence[Fuzzed]) -> Iterator[None]:
    """End the process, loudly, where a batch never comes back."""

    def give_up() -> None:
        sys.stderr.write(f"\n{door.name}: no answer for {PATIENCE_S:.0f} s; one of these inputs hangs it:\n")
        for fuzzed in inputs:
            parts = [None if part is None else base64.b64encode(part)[:4_000].decode() for part in fuzzed.parts]
            sys.stderr.write(f"  {fuzzed.made_by} {parts}\n")
        sys.stderr.flush()
        os._exit(3)

    timer = threading.Timer(PATIENCE_S, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
