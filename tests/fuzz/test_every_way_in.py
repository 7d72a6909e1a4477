"""Every way in under a few thousand malformed inputs: accepted or refused with a reason, and nothing after them lost.

What holds is said in tests/fuzz/door.py; `make fuzz` does the same for ten minutes, from other seeds.
"""

from collections.abc import Sequence
from random import Random

import pytest

from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, problem_of, refused
from tests.fuzz.doors.every import DOORS
from tests.fuzz.engine import drawn, run_door

SEED = 20_260_301


@pytest.mark.parametrize("name", DOORS)
def test_every_input_is_taken_or_refused_with_a_reason_and_nothing_after_it_is_lost(name: str) -> None:
    door = DOORS[name]()
    try:
        found = run_door(door, seed=SEED, num_batches=door.seeds)
    finally:
        door.close()
    told = "\n\n".join(str(violation) for violation in found.violations.values())
    assert not found.violations, f"{sum(found.tally.violations.values())} violations of seed {SEED}:\n{told}"
    assert found.tally.malformed >= door.seeds * door.batch * 0.6
    assert found.tally.refused, "nothing was refused: are the inputs malformed at all?"


class BrokenDoor:
    """Takes numbers below 100 in decimal, and has the faults that the oracle is there for."""

    name = "broken"
    batch = 30
    seeds = 1

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def valid(self, rng: Random, number: int) -> Parts:
        return (b"%d" % (number % 100),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return Fuzzed((b"aaaa!%d" % number if number % 5 else b"bbbb",), made_by="letters")

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        if self._fault == "raises" and any(b"!" in (f.parts[0] or b"") for f in inputs):
            raise ValueError("a bang")
        outcomes = [self._outcome(fuzzed) for fuzzed in inputs]
        return outcomes[1:] if self._fault == "forgets" else outcomes

    def _outcome(self, fuzzed: Fuzzed) -> Outcome:
        if (fuzzed.parts[0] or b"").isdigit():
            return accepted(intact=self._fault != "alters")
        return refused("letters", "" if self._fault == "is silent" else "give digits")

    def close(self) -> None:
        """Nothing was opened."""


@pytest.mark.parametrize(
    ("fault", "kind", "smallest"),
    [
        ("none", None, None),
        ("raises", "raised ValueError a bang", b"!"),
        ("alters", "a valid input does not come out as it", None),
        ("is silent", "a refusal lacks its detail", b""),
        ("forgets", "outcomes of inputs", None),
    ],
)
def test_the_oracle_sees_each_fault_and_makes_its_input_small(fault: str, kind: str | None, smallest: bytes) -> None:
    found = run_door(BrokenDoor(fault), seed=1, num_batches=1)
    assert found.tally.malformed + found.tally.valid == 32
    if kind is None:
        assert not found.violations
        return
    (violation,) = [v for k, v in found.violations.items() if k.startswith(kind)]
    assert violation.door == "broken"
    if smallest is not None:
        assert violation.parts == (smallest,)


def test_a_seed_gives_the_same_inputs_whatever_was_drawn_before() -> None:
    door = DOORS["events.codec"]()
    assert drawn(door, 3, 2) == drawn(door, 3, 2) != drawn(door, 4, 2)
    first, last = drawn(door, 3, 0)[0], drawn(door, 3, 0)[-1]
    assert first.valid
    assert last.valid
    assert problem_of(first, refused("x", "y")).startswith("a valid input is refused")
