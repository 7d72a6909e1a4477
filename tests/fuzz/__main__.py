"""Every way in, fuzzed for as long as asked: `make fuzz` does so for ten minutes.

    python -m tests.fuzz --seconds 600                          all doors in turn, from a seed of the day
    python -m tests.fuzz --seconds 60 --door images --seed 7    one door; the same seed gives the same inputs
    python -m tests.fuzz --list                                 names of the doors

Writes tests/benchmarks/results/fuzz.json; --output FILE writes elsewhere. Exit status 1 where the oracle of
tests/fuzz/door.py was violated: each violation is printed with the smallest input that was found to show it.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.receipt import write_receipt
from tests.fuzz.doors.every import DOORS, SLOW_DOORS
from tests.fuzz.engine import Found, run_door

ROUNDS: Final = 10
"""Turns of each door: a long run that is ended early has seen all of them."""
ALL_DOORS: Final = {**DOORS, **SLOW_DOORS}
SLOW_FROM_S: Final = 300.0
"""Length of a run that starts a broker and Spark, too, where no door is named."""
SLOW_TRIALS: Final = 6
PACKAGES: Final = ("grpcio", "numpy", "pillow", "protobuf", "pyarrow")


def main() -> int:
    """Run, tell, write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all doors together")
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86_400)
    parser.add_argument("--door", action="append", choices=sorted(ALL_DOORS), help="only this one; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the doors")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(ALL_DOORS))
        return 0
    logging.disable(logging.CRITICAL)  # every refusal is logged; what counts is told below
    print(f"seed {asked.seed}; the same seed gives the same inputs: --seed {asked.seed}", flush=True)
    found = fuzz(
        asked.door or list(ALL_DOORS if asked.seconds >= SLOW_FROM_S else DOORS), seed=asked.seed, seconds=asked.seconds
    )
    for name in found:
        for violation in found[name].violations.values():
            print(f"\nVIOLATION {violation}")
    figures = figures_of(found)
    notes = (f"seed {asked.seed}",)
    path = write_receipt("fuzz", figures, samples_of(found), packages=PACKAGES, output=asked.output, notes=notes)
    print(json.dumps(figures, indent=1))
    print(path.name, "written")
    return int(figures["violations"] > 0)


def fuzz(names: list[str], *, seed: int, seconds: float) -> dict[str, Found]:
    """Feed the doors in turn until the time is over."""
    found = {name: Found(max_trials=SLOW_TRIALS) if name in SLOW_DOORS else Found() for name in names}
    batches = dict.fromkeys(names, 0)
    doors = {name: ALL_DOORS[name]() for name in names}
    turn_s = seconds / ROUNDS / len(names)
    began_s = time.monotonic()
    try:
        for turn in range(ROUNDS):
            for name in names:
                end_s = time.monotonic() + turn_s
                before = batches[name]
                while batches[name] == before or time.monotonic() < end_s:
                    run_door(doors[name], seed=seed, num_batches=1, first_batch=batches[name], found=found[name])
                    batches[name] += 1
            num = sum(f.tally.malformed for f in found.values())
            bad = sum(sum(f.tally.violations.values()) for f in found.values())
            spent_s = time.monotonic() - began_s
            print(
                f"{spent_s:5.0f} s, turn {turn + 1} of {ROUNDS}: {num:,} malformed inputs, {bad} violations", flush=True
            )
            if spent_s > seconds:
                break
    finally:
        for door in doors.values():
            door.close()
    return found


def figures_of(found: Mapping[str, Found]) -> dict[str, Any]:
    """Sums, then malformed inputs and violations by door."""
    tallies = {name: f.tally for name, f in found.items()}
    return {
        "malformed_inputs": sum(t.malformed for t in tallies.values()),
        "valid_inputs_between": sum(t.valid for t in tallies.values()),
        "refused": sum(sum(t.refused.values()) for t in tallies.values()),
        "accepted": sum(t.accepted for t in tallies.values()),
        "violations": sum(sum(t.violations.values()) for t in tallies.values()),
        "seconds": round(sum(t.seconds for t in tallies.values()), 1),
        **{f"malformed_inputs.{name}": t.malformed for name, t in tallies.items()},
    }


def samples_of(found: Mapping[str, Found]) -> dict[str, Any]:
    """By door: what became of its inputs, and the violations with their inputs."""
    return {
        name: {
            "accepted": f.tally.accepted,
            "refused": dict(f.tally.refused.most_common()),
            "violations": dict(f.tally.violations.most_common()),
            "smallest_inputs": [violation.document() for violation in f.violations.values()],
        }
        for name, f in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
