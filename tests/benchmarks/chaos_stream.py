"""The stream under kill -9: broker, Spark driver, JVM, Python workers and collector, at random instants, under load.

    python -m tests.benchmarks.chaos_stream             at least ten kills of each, 1,000 events/s (make chaos-stream)
    python -m tests.benchmarks.chaos_stream --quick     one of each, 300 events/s

Everything is real: Kafka, collector, Spark, event log, Feast. In between an older copy of the online store is put in
its place. At the end every acknowledged event must be in the log and in its user's profile once, as tests/oracle.py
knows. Writes tests/benchmarks/results/chaos_stream.json; --output FILE writes elsewhere. Ends with 1 where an event is
lost or a profile is wrong.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.events.next_offsets import next_offsets
from mmrec.scoring.profile import Source
from mmrec.stores.kafka import describe_topic
from mmrec.stores.topic_ends import end_offsets
from mmrec.wiring import open_event_log, open_feature_store
from tests.benchmarks.chaos_stream_kills import Killer, Kills, StoreWatch
from tests.benchmarks.chaos_stream_load import DAY_S, Load
from tests.benchmarks.chaos_stream_stack import ChaosStack
from tests.benchmarks.receipt import write_receipt
from tests.oracle import EVENTS, Oracle

PACKAGES = ("pyspark", "kafka-python", "feast", "pyarrow", "grpcio", "numpy")
SCORING = {"max_items": 0, "ring_size": 100_000}
"""Pruning off, and every id of a run within the window."""
DRAIN_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a run goes."""

    kills: Mapping[str, int] = field(
        default_factory=lambda: {"broker": 10, "driver": 10, "worker": 10, "collector": 10, "jvm": 2, "older store": 1}
    )
    kafka_per_s: float = 800.0
    collector_per_s: float = 200.0
    longest_pause_s: float = 80.0
    deadline_s: float = 540.0
    """After this long nothing is killed any more."""
    store: str = "sqlite"
    seed: int = 1


QUICK = Plan(
    kills={"broker": 1, "driver": 1, "worker": 1, "collector": 1, "older store": 1},
    kafka_per_s=240.0,
    collector_per_s=60.0,
    longest_pause_s=3.0,
    deadline_s=60.0,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run found."""

    kills: Mapping[str, Kills]
    acknowledged: int
    """Events that Kafka or the collector acknowledged, each counted once however often it was sent."""
    deliveries: int
    """With those that were sent twice on purpose; without those sent again because nothing was acknowledged."""
    sent_again: int
    lost: int
    """Acknowledged events that the log or their user's profile lacks."""
    wrong_profiles: int
    counts: Mapping[str, int]
    """The stream's own."""
    seconds: float

    def lines(self) -> list[str]:
        """The table a person reads."""
        rows = [f"{'killed':12} {'kills':>5} {'recovered':>9} {'p50 s':>7} {'max s':>7}"]
        for kind, kills in self.kills.items():
            times = kills.recoveries_s or [float("nan")]
            rows.append(
                f"{kind:12} {kills.done:5} {len(kills.recoveries_s):9} {np.median(times):7.1f} {max(times):7.1f}"
            )
        rows.append(
            f"acknowledged {self.acknowledged}, sent again {self.sent_again}, "
            f"repeats found {self.counts.get('duplicate', 0)}, lost {self.lost}, wrong profiles {self.wrong_profiles}, "
            f"in {self.seconds:.0f} s"
        )
        return rows

    @property
    def is_exact(self) -> bool:
        return not self.lost and not self.wrong_profiles


def run(plan: Plan, folder: Path, *, say: Callable[[str], None]) -> Outcome:
    """One run in a folder of its own; nothing it started is left afterwards."""
    with ChaosStack(folder, store=plan.store, scoring=SCORING) as stack:
        settings, started_s = stack.settings, time.time()
        oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
        load = Load(
            settings, oracle, kafka_per_s=plan.kafka_per_s, collector_per_s=plan.collector_per_s, seed=plan.seed
        )
        with StoreWatch(stack, say=say) as watch, load:
            killer = Killer(
                stack,
                load,
                watch,
                kills=dict(plan.kills),
                longest_pause_s=plan.longest_pause_s,
                deadline_s=plan.deadline_s,
                seed=plan.seed,
                say=say,
            )
            killer.run()
            load.settle(timeout_s=DRAIN_S)
            _drain(stack, watch)
        say("drained; comparing with the oracle")
        store, log = open_feature_store(settings), open_event_log(settings)
        different = oracle.differences(store, time.time() + DAY_S)
        logged = oracle.log_differences(log)
        for line in [*different[:5], *logged[:5]]:
            say(str(line))
        short = [d.expected - (d.found or 0) for d in different if d.item_id == EVENTS and d.expected is not None]
        missing = len([line for line in logged if ": 0 for" in line])
        return Outcome(
            kills=killer.kills,
            acknowledged=oracle.num_accepted,
            deliveries=oracle.num_sent,
            sent_again=load.kafka.num_sent_again + load.collector.num_sent_again,
            lost=max(missing, int(sum(number for number in short if number > 0))),
            wrong_profiles=len({d.user_key for d in different}),
            counts=dict((store.read_progress() or watch.progress).counts),
            seconds=time.time() - started_s,
        )


def _drain(stack: ChaosStack, watch: StoreWatch) -> None:
    """Wait until all that the topic holds is in the store."""
    kafka = stack.settings.kafka
    topic = describe_topic(kafka.bootstrap, kafka.behavior_events)
    ends = end_offsets(kafka.bootstrap, kafka.behavior_events)
    held = {Source(topic.cluster_id, topic.topic_id, partition): (0, end) for partition, end in ends.items()}
    give_up_s = time.monotonic() + DRAIN_S
    while sum(held[s][1] - start for s, start in next_offsets(held, watch.progress.marks)[0].items()):
        assert time.monotonic() < give_up_s, (
            f"the stream stands at {watch.progress.marks}, the topic at {held}; see {stack.home.logs}"
        )
        time.sleep(0.2)


def main() -> int:
    """Run, print the table, write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--store", default="sqlite", help="online store (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="nothing is killed after this long")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the run's files there; a temporary folder where not given")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    deadline_s = arguments.seconds or plan.deadline_s
    plan = replace(plan, store=arguments.store, seed=arguments.seed, deadline_s=deadline_s)
    with tempfile.TemporaryDirectory(prefix="mmrec-chaos-") as temporary:
        outcome = run(plan, arguments.folder or Path(temporary), say=_say)
    print("\n".join(outcome.lines()))
    if not arguments.quick or arguments.output:
        write_receipt(
            "chaos_stream", figures(outcome), samples(outcome, plan), packages=PACKAGES, output=arguments.output
        )
    return 0 if outcome.is_exact else 1


def figures(outcome: Outcome) -> dict[str, float]:
    """Flat numbers of the receipt."""
    found: dict[str, float] = {
        "kills": sum(kills.done for kills in outcome.kills.values()),
        "acknowledged": outcome.acknowledged,
        "lost": outcome.lost,
        "wrong_profiles": outcome.wrong_profiles,
        "sent_again": outcome.sent_again,
        "duplicates_found": outcome.counts.get("duplicate", 0),
        "seconds": round(outcome.seconds, 1),
    }
    for kind, kills in outcome.kills.items():
        name = kind.replace(" ", "_")
        found[f"{name}_kills"] = kills.done
        if kills.recoveries_s:
            found[f"{name}_recovery_p50_s"] = round(float(np.median(kills.recoveries_s)), 2)
            found[f"{name}_recovery_max_s"] = max(kills.recoveries_s)
    return found


def samples(outcome: Outcome, plan: Plan) -> dict[str, Any]:
    """Raw values of the receipt."""
    kinds = {kind: {"at_s": kills.at_s, "recoveries_s": kills.recoveries_s} for kind, kills in outcome.kills.items()}
    return {"plan": {**vars(plan), "kills": dict(plan.kills)}, "kills": kinds, "counts": dict(outcome.counts)}


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
