"""Fits and scores with what they cost: seconds, seconds of the processor, memory, milliseconds per user."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.model import Model

_LOOK_EVERY_S: Final = 0.05


@dataclass(kw_only=True)
class Cost:
    """What a piece of work cost."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of all threads of this process."""
    memory_mb: float = 0.0
    """How much more of memory was in use at the most, looked at twenty times a second."""


@contextmanager
def measured() -> Iterator[Cost]:
    """What the block costs; complete when it ends."""
    cost, process, ended = Cost(), psutil.Process(), threading.Event()
    before = process.memory_info().rss
    most = [before]

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - began_s, time.process_time() - cpu_s
        ended.set()
        watcher.join()
        cost.memory_mb = max(most[0], process.memory_info().rss) / 2**20 - before / 2**20


def fitted(model: Model, data: Interactions, items: ItemFeatures, *, seed: int) -> Cost:
    """Fit, and what it cost."""
    with measured() as cost:
        model.fit(data, items, seed=seed)
    return cost


class TimedModel:
    """A fitted model that counts the time its scores take."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name = model.name
        self.seconds = 0.0
        self.num_users = 0

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Fit the model."""
        self._model.fit(data, items, seed=seed)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The model's scores."""
        began_s = time.perf_counter()
        scores_NI = self._model.score(users_N, histories)
        self.seconds += time.perf_counter() - began_s
        self.num_users += len(users_N)
        return scores_NI

    @property
    def ms_per_user(self) -> float:
        """Mean over the users scored."""
        return 1_000.0 * self.seconds / max(self.num_users, 1)
