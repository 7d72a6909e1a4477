"""One rehearsal: the stack, the load, the acts one after the other, and at the end everything beside the oracle."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from services.stack.guard import processes_of
from tests.benchmarks.chaos_stream_kills import StoreWatch
from tests.benchmarks.chaos_stream_load import Load, Way
from tests.benchmarks.chaos_stream_run import Compared, compare, drain
from tests.oracle import Oracle
from tests.rehearsal.acts import Performed, Scene, perform
from tests.rehearsal.lists import Answer, ListLoad
from tests.rehearsal.shop import Shop
from tests.rehearsal.stack import RehearsalStack

SETTLE_S = 120.0
MEMORY_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a rehearsal goes."""

    acts: Sequence[str]
    events_per_s: float
    act_s: float
    """An act lasts this long at least."""
    lists_per_s: float = 0.0
    """0: no recommender."""
    num_replicas: int = 2
    collected: float = 0.5
    """Share of the events that go through a collector."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a rehearsal found."""

    acts: Sequence[Performed]
    ways: dict[str, Way]
    answers: Sequence[Answer]
    """Of requests for lists."""
    acknowledged: int
    found: Compared
    start_s: float
    """Seconds until every program was ready."""
    seconds: float
    peak_gb: float
    """Most memory of all processes together, shared pages counted once for each."""

    @property
    def is_exact(self) -> bool:
        return not self.found.lost and not self.found.wrong_profiles


def run(plan: Plan, folder: Path, *, say: Callable[[str], None]) -> Outcome:
    """A rehearsal in a folder of its own; nothing it started is left afterwards."""
    began_s = time.time()
    with RehearsalStack(folder, num_replicas=plan.num_replicas if plan.lists_per_s else 0, say=say) as stack:
        start_s = time.time() - began_s
        say(f"all is ready after {start_s:.0f} s")
        settings = stack.operator
        oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
        load = Load(
            settings,
            oracle,
            kafka_per_s=plan.events_per_s * (1 - plan.collected),
            collector_per_s=plan.events_per_s * plan.collected,
            seed=plan.seed,
            open_channel=stack.open_channel,
            metadata=stack.token,
        )
        performed, answers = [], list[Answer]()
        with ExitStack() as entered:
            memory = entered.enter_context(MemoryWatch(stack.stack_id))
            watch = entered.enter_context(StoreWatch(settings, say=say))
            entered.enter_context(load)
            scene = Scene(stack=stack, load=load, oracle=oracle, watch=watch, say=say)
            if plan.lists_per_s:
                scene = replace(scene, shop=_shop(stack, say=say))
                lists = ListLoad(stack.open_lists_channel, metadata=stack.token, per_s=plan.lists_per_s, seed=plan.seed)
                scene, answers = replace(scene, lists=entered.enter_context(lists)), lists.answers
            for act in plan.acts:
                performed.append(perform(act, scene, least_s=plan.act_s))
                say(f"{act}: {performed[-1].recovery_s}, sent again {performed[-1].sent_again}")
            load.settle(timeout_s=SETTLE_S)
            drain(settings, watch, logs=stack.home.logs)
        say("drained; comparing with the oracle")
        return Outcome(
            acts=performed,
            ways={"kafka": load.kafka, "collector": load.collector},
            answers=answers,
            acknowledged=oracle.num_accepted,
            found=compare(oracle, settings, say=say),
            start_s=start_s,
            seconds=time.time() - began_s,
            peak_gb=memory.peak_gb,
        )


def _shop(stack: RehearsalStack, *, say: Callable[[str], None]) -> Shop:
    """A shop with a release that every replica uses."""
    shop = Shop(stack.operator, stack.home.folder / "shop")
    release_id = shop.promote()
    say(f"release {release_id} is promoted")
    give_up_s, in_use = time.monotonic() + SETTLE_S, 0
    with ListLoad(stack.open_lists_channel, metadata=stack.token, per_s=0.0) as asking:
        while in_use < 20:  # in a row, so that every replica was among them
            answer, _ = asking.ask("nobody", asked_s=time.time())
            in_use = in_use + 1 if answer.release_id == release_id else 0
            assert time.monotonic() < give_up_s, f"no lists of {release_id}: {answer}"
            time.sleep(0.05)
    return shop


class MemoryWatch:
    """Looks now and then how much memory the stack has; use as a context manager."""

    def __init__(self, stack_id: str) -> None:
        self._stack_id, self._over = stack_id, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_gb = 0.0

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(MEMORY_EVERY_S):
            total = 0
            for pid in processes_of(self._stack_id):
                try:
                    total += psutil.Process(pid).memory_info().rss
                except psutil.Error:
                    continue
            self.peak_gb = max(self.peak_gb, total / 2**30)
