"""One run of the stream under kill -9 on one online store, compared with the oracle; how it is planned."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmrec.config import Settings
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import describe_topic
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.stream.next_offsets import next_offsets
from mmrec.wiring import open_event_log, open_feature_store
from tests.benchmarks.chaos_stream_kills import Killer, Kills, StoreWatch
from tests.benchmarks.chaos_stream_load import DAY_S, Load
from tests.benchmarks.chaos_stream_stack import OLDER_STORE, ChaosStack
from tests.oracle import EVENTS, Oracle

SCORING = {"max_items": 0, "ring_size": 100_000}
"""Pruning off, and every id of a run within the window."""
DRAIN_S = 180.0


_EVERYWHERE = {"broker": 10, "driver": 10, "collector": 10, "jvm": 2, OLDER_STORE: 1}
FULL_KILLS: Mapping[str, Mapping[str, int]] = {
    "sqlite": {**_EVERYWHERE, "worker": 2},
    "redis": {**_EVERYWHERE, "worker": 10},
}
"""By store. On SQLite the driver writes profiles and workers decode, on Redis Spark's Python workers write."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a run on one store goes."""

    kills: Mapping[str, int]
    store: str
    kafka_per_s: float = 800.0
    collector_per_s: float = 200.0
    longest_pause_s: float = 80.0
    paced_s: float = 300.0
    """Kills are spread over about this long; those that are late then follow each other closely."""
    deadline_s: float = 900.0
    """After this long nothing is killed any more."""
    seed: int = 1


FULL = [Plan(kills=kills, store=store) for store, kills in FULL_KILLS.items()]
QUICK = [
    replace(
        plan,
        kills={kind: 1 for kind in plan.kills if kind != "jvm"},
        kafka_per_s=240.0,
        collector_per_s=60.0,
        longest_pause_s=3.0,
        paced_s=0.0,
        deadline_s=60.0,
    )
    for plan in FULL
]


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

    @property
    def is_exact(self) -> bool:
        return not self.lost and not self.wrong_profiles

    @property
    def num_kills(self) -> int:
        return sum(kills.done for kills in self.kills.values())

    @property
    def is_whole(self) -> bool:
        """Whether all was killed as often as planned."""
        return all(kills.done == kills.wanted for kills in self.kills.values())


def run(plan: Plan, folder: Path, *, say: Callable[[str], None]) -> Outcome:
    """One run in a folder of its own; nothing it started is left afterwards."""
    with ChaosStack(folder, store=plan.store, scoring=SCORING) as stack:
        settings, started_s = stack.settings, time.time()
        oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
        load = Load(
            settings, oracle, kafka_per_s=plan.kafka_per_s, collector_per_s=plan.collector_per_s, seed=plan.seed
        )
        with StoreWatch(settings, say=say) as watch, load:
            killer = Killer(
                stack,
                load,
                watch,
                kills=dict(plan.kills),
                longest_pause_s=plan.longest_pause_s,
                paced_s=plan.paced_s,
                deadline_s=plan.deadline_s,
                seed=plan.seed,
                say=say,
            )
            killer.run()
            load.settle(timeout_s=DRAIN_S)
            drain(settings, watch, logs=stack.home.logs)
        say("drained; comparing with the oracle")
        found = compare(oracle, settings, say=say)
        return Outcome(
            kills=killer.kills,
            acknowledged=oracle.num_accepted,
            deliveries=oracle.num_sent,
            sent_again=load.kafka.num_sent_again + load.collector.num_sent_again,
            lost=found.lost,
            wrong_profiles=found.wrong_profiles,
            counts=watch.progress.counts.document(),
            seconds=time.time() - started_s,
        )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What stores lack, or have otherwise than they must."""

    lost: int
    wrong_profiles: int


def compare(oracle: Oracle, settings: Settings, *, say: Callable[[str], None]) -> Compared:
    """Log and profiles of a deployment that has come to rest beside what was sent to it."""
    different = oracle.differences(open_feature_store(settings), time.time() + DAY_S)
    logged = oracle.log_differences(open_event_log(settings))
    for line in [*different[:5], *logged[:5]]:
        say(str(line))
    short = [d.expected - (d.found or 0) for d in different if d.item_id == EVENTS and d.expected is not None]
    missing = len([line for line in logged if ": 0 for" in line])
    return Compared(
        lost=max(missing, int(sum(number for number in short if number > 0))),
        wrong_profiles=len({d.user_key for d in different}),
    )


def drain(settings: Settings, watch: StoreWatch, *, logs: Path) -> None:
    """Wait until all that the topic holds is in the store."""
    kafka = settings.kafka
    topic = describe_topic(kafka, kafka.behavior_events)
    ends = end_offsets(kafka, kafka.behavior_events)
    held = {Source(topic.cluster_id, topic.topic_id, partition): (0, end) for partition, end in ends.items()}
    give_up_s = time.monotonic() + DRAIN_S
    while sum(held[s][1] - start for s, start in next_offsets(held, watch.progress.marks)[0].items()):
        assert time.monotonic() < give_up_s, (
            f"the stream stands at {watch.progress.marks}, the topic at {held}; see {logs}"
        )
        time.sleep(0.2)
