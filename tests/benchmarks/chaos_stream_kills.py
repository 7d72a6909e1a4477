"""kill -9 of a stream's parts at random instants, and how long each takes until it does its work again.

A part has recovered when an event of after the kill has gone its way: broker and collector, once such an event is
acknowledged; the scoring stream, once such an event is in the store.
"""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mmrec.config import Settings
from mmrec.errors import StoreError
from mmrec.features.ports import FeatureStore
from mmrec.features.values import StreamProgress
from mmrec.wiring import open_feature_store
from tests.benchmarks.chaos_stream_load import Load
from tests.benchmarks.chaos_stream_stack import OLDER_STORE, ChaosStack

LOOK_S = 0.1
PATIENCE_S = 150.0
"""A part that has not recovered by then is given up; it is killed again once it is ready."""
SHORTEST_PAUSE_S = 3.0
"""A recovered part is killed again after a random pause of up to this at least."""
USUAL_RECOVERY_S = 15.0
"""Assumed of a kind of part before one has recovered."""


@dataclass(kw_only=True)
class Kills:
    """What was done to one kind of part."""

    wanted: int
    done: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    """Instants of the kills, seconds from the beginning."""


class StoreWatch:
    """Looks at the stored progress four times a second; use as a context manager."""

    def __init__(self, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self.failures: list[str] = []
        """What went wrong in reading, each once."""
        self._over = threading.Event()
        self._reopen = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.progress = StreamProgress()

    def __enter__(self) -> "StoreWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def reopen(self) -> None:
        """The store's file is another one now."""
        self._reopen.set()

    def _run(self) -> None:
        store: FeatureStore | None = None
        while not self._over.wait(0.25):
            if self._reopen.is_set():
                self._reopen.clear()
                store = None
            try:
                store = store or open_feature_store(self._settings)
                self.progress = store.read_progress() or StreamProgress()
            except (StoreError, sqlite3.Error) as failure:
                store = None
                if str(failure) not in self.failures:
                    self.failures.append(str(failure))
                    self._say(f"the store cannot be read: {failure}")


class Killer:
    """One thread per kind of part."""

    def __init__(
        self,
        stack: ChaosStack,
        load: Load,
        watch: StoreWatch,
        *,
        kills: dict[str, int],
        longest_pause_s: float,
        paced_s: float,
        deadline_s: float,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        """Nothing is killed yet.

        Args:
            kills: How often, by kind of part; "older store" restores an earlier copy of the online store.
            longest_pause_s: A recovered part is killed again after a random pause of at most this.
            paced_s: Pauses are drawn so that the kills of each kind take about this long.
            deadline_s: After this long nothing is killed any more.
        """
        self._stack, self._load, self._watch = stack, load, watch
        self._pause_s, self._say = longest_pause_s, say
        self._started_s = time.time()
        self._paced_until_s = self._started_s + paced_s
        self._deadline_s = self._started_s + deadline_s
        self._over = threading.Event()
        self.failures: list[BaseException] = []
        self.kills = {kind: Kills(wanted=number) for kind, number in kills.items() if number}
        self._threads = [
            threading.Thread(target=self._watched, args=(kind, random.Random(f"{seed} {kind}")), daemon=True)
            for kind in self.kills
        ]

    def run(self) -> None:
        """Kill until everything was killed as often as wanted, or the time is over."""
        for thread in self._threads:
            thread.start()
        try:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(LOOK_S)
                    assert not self.failures + self._load.failures, self.failures + self._load.failures
        finally:
            self._over.set()

    def _watched(self, kind: str, rng: random.Random) -> None:
        try:
            self._run(kind, rng)
        except BaseException as failure:
            self.failures.append(failure)
            raise

    def _run(self, kind: str, rng: random.Random) -> None:
        mine = self.kills[kind]
        while mine.done < mine.wanted and not self._is_over():
            if not self._wait(lambda: self._stack.is_ready(kind), PATIENCE_S):
                continue
            if kind == OLDER_STORE:
                copy = self._stack.home.folder / "older"
                self._stack.copy_store(copy)
            self._over.wait(rng.uniform(0.0, self._longest_pause_s(mine)))
            if self._is_over():
                return
            if kind == OLDER_STORE:
                self._restore(copy)
            elif not self._wait(lambda: self._kill(kind, rng), PATIENCE_S):
                continue
            killed_s = time.time()
            mine.done += 1
            mine.at_s.append(round(killed_s - self._started_s, 2))
            self._say(f"{killed_s - self._started_s:6.1f} s  kill {mine.done} of {kind}")
            if self._wait_for_newer(kind, killed_s):
                mine.recoveries_s.append(round(time.time() - killed_s, 2))

    def _longest_pause_s(self, kills: Kills) -> float:
        """Pauses that leave, on average, time for the kills to come and their recoveries."""
        share_s = (self._paced_until_s - time.time()) / (kills.wanted - kills.done)
        usual_s = median(kills.recoveries_s) if kills.recoveries_s else USUAL_RECOVERY_S
        return max(min(self._pause_s, 2 * (share_s - usual_s)), SHORTEST_PAUSE_S)

    def _kill(self, kind: str, rng: random.Random) -> bool:
        """Whether there was one to kill."""
        pids = self._stack.pids(kind)
        if not pids:
            return False
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _restore(self, copy: Path) -> None:
        self._stack.restore_store(copy)
        self._watch.reopen()

    def _wait_for_newer(self, kind: str, instant_s: float) -> bool:
        return self._wait(lambda: self._newest_s(kind) > instant_s, PATIENCE_S)

    def _newest_s(self, kind: str) -> float:
        if kind == "broker":
            return self._load.kafka.newest_acknowledged_s
        if kind == "collector":
            return self._load.collector.newest_acknowledged_s
        return self._watch.progress.newest_ingest_time_s

    def _is_over(self) -> bool:
        return self._over.is_set() or time.time() > self._deadline_s

    def _wait(self, what: Callable[[], bool], timeout_s: float) -> bool:
        give_up_s = time.monotonic() + timeout_s
        while not what():
            if self._over.wait(LOOK_S) or time.monotonic() > give_up_s:
                return False
        return True
