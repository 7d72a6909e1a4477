"""Many payloads at once through encoders, by Ray actors; jobs.encode_items uses it for what a catalogue brings.

Actors rather than Ray Data, which reads from its own tasks and not from a feed that must go on where it stopped: here
each vector is kept as soon as it is made, portions end in the order of their offsets, and an actor lives as long as the
job, with its encoders loaded. What is under way is bounded by who begins portions (mmrec.content.catalog_feed).
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mmrec.content.encode import Filled, FillHere, Filling, Misses
from mmrec.content.encoder import Encoder
from mmrec.content.registry import LazyEncoder, modality_named
from mmrec.content.store import ContentStore
from mmrec.telemetry.logs import get_logger

log = get_logger("jobs.encode_items")
MIN_FOR_RAY: Final = 96
"""Fewer inputs than this are encoded in process before Ray has started."""
BATCH: Final = 32
BATCH_ON_GPU: Final = 128
OBJECTS_BYTES: Final = 512 * 2**20
"""Of a cluster of our own: several times the payloads that are under way."""


class EncodingActor:
    """One process: encoders, each loaded with the first payload it gets."""

    def __init__(self, encoders: Mapping[str, tuple[str, str]], num_threads: int) -> None:
        self._encoders = {
            modality: LazyEncoder(modality, name, num_threads=num_threads, fingerprint=fingerprint)
            for modality, (name, fingerprint) in encoders.items()
        }

    def encode(self, modality: str, payloads: list[bytes]) -> tuple[Any, Any]:
        """(float32 vectors of the readable payloads, their rows)."""
        encodings = self._encoders[modality].encode(payloads)
        rows = np.flatnonzero([not reason for reason in encodings.reasons_N])
        return encodings.values_ND[rows], rows


class _Batch:
    """Payloads that one actor was given; settled once."""

    def __init__(self, modality: str, digests: list[bytes], actor: int, answer: Any) -> None:
        self.modality, self.digests, self.actor, self.answer = modality, digests, actor, answer
        self.broken: frozenset[bytes] = frozenset()
        self.is_settled = False


class RayFiller:
    """Starts Ray with the first portion that is worth it; close() ends it.

    Args:
        encoders: Modality -> encoder; loaded here for small portions only.
        num_workers: Processes, of one thread each; on a cluster with GPUs one for each GPU instead.
    """

    def __init__(self, encoders: Mapping[str, Encoder], store: ContentStore, *, num_workers: int) -> None:
        self._encoders, self._store, self._num_workers = encoders, store, num_workers
        self._here = FillHere(encoders, store)
        self._actors: list[Any] = []
        self._may_start = True
        self._batch = BATCH
        self._under_way: list[_Batch] = []
        self._batch_of: dict[tuple[str, bytes], _Batch] = {}

    def begin(self, misses: Misses) -> Filling:
        """See Filler."""
        costly = {m: found for m, found in misses.items() if modality_named(m).is_costly}
        if self._may_start and max(map(len, costly.values()), default=0) >= MIN_FOR_RAY:
            self._start()
        if not self._actors:
            return self._here.begin(misses)
        batches: dict[int, _Batch] = {}
        num_sent: dict[str, int] = {}
        for modality, payload_of in costly.items():
            shared = [self._batch_of[modality, d] for d in payload_of if (modality, d) in self._batch_of]
            fresh = [d for d in payload_of if (modality, d) not in self._batch_of]
            num_sent[modality] = len(fresh)
            sent = [
                self._send(modality, chosen, [payload_of[d] for d in chosen])
                for start in range(0, len(fresh), self._batch)
                for chosen in [fresh[start : start + self._batch]]
            ]
            batches |= {id(batch): batch for batch in [*shared, *sent]}
        self._collect(wait=False)  # after looking: what is settled meanwhile was not in the cache when it was looked up
        others = {modality: found for modality, found in misses.items() if modality not in costly}
        return _RayFilling(self, list(batches.values()), num_sent, self._here.begin(others))

    def close(self) -> None:
        """End the cluster, if it is our own and was started."""
        if self._actors:
            import ray

            self._actors = []
            ray.shutdown()

    def wait_for(self, batches: list[_Batch]) -> None:
        """Until all of these are settled: their vectors in the cache, what could not be read known."""
        while any(not batch.is_settled for batch in batches):
            self._collect(wait=True)

    def _start(self) -> None:
        """A cluster named by RAY_ADDRESS is used as it is; otherwise one of our own, for as long as the job."""
        import ray

        self._may_start, is_own = False, not os.environ.get("RAY_ADDRESS")
        own = {"include_dashboard": False, "object_store_memory": OBJECTS_BYTES} if is_own else {}
        try:
            ray.init(log_to_driver=False, ignore_reinit_error=True, **own)
        except Exception as error:  # a machine so busy that Ray does not come up within its half minute
            if not is_own:
                raise
            log.warning("ray_not_started", error=str(error), encoding="in this process")
            return
        num_gpus = int(ray.cluster_resources().get("GPU", 0))
        self._batch = BATCH_ON_GPU if num_gpus else BATCH
        options = {"num_cpus": 1, "num_gpus": 1 if num_gpus else 0}
        names = {modality: (encoder.name, encoder.fingerprint) for modality, encoder in self._encoders.items()}
        remote = ray.remote(EncodingActor)
        self._actors = [remote.options(**options).remote(names, 1) for _ in range(num_gpus or self._num_workers)]
        log.info("encoders_started", num_processes=len(self._actors), num_gpus=num_gpus)

    def _send(self, modality: str, digests: list[bytes], payloads: list[bytes]) -> _Batch:
        loads = [sum(batch.actor == number for batch in self._under_way) for number in range(len(self._actors))]
        actor = int(np.argmin(loads))
        batch = _Batch(modality, digests, actor, self._actors[actor].encode.remote(modality, payloads))
        self._under_way.append(batch)
        self._batch_of |= {(modality, each): batch for each in digests}
        return batch

    def _collect(self, *, wait: bool) -> None:
        """Keep the vectors of batches that are through; with `wait`, of at least one."""
        import ray

        if not self._under_way:
            return
        answers = {batch.answer: batch for batch in self._under_way}
        through, _ = ray.wait(list(answers), num_returns=1 if wait else len(answers), timeout=None if wait else 0)
        for answer in through:
            batch = answers[answer]
            values, rows = ray.get(answer)
            read = {batch.digests[row] for row in rows.tolist()}
            fingerprint = self._encoders[batch.modality].fingerprint
            self._store.remember(fingerprint, [batch.digests[row] for row in rows.tolist()], values)
            batch.broken, batch.is_settled = frozenset(batch.digests) - read, True
            self._under_way.remove(batch)
            for each in batch.digests:
                del self._batch_of[batch.modality, each]


class _RayFilling:
    def __init__(self, filler: RayFiller, batches: list[_Batch], num_sent: dict[str, int], here: Filling) -> None:
        self._filler, self._batches, self._num_sent, self._here = filler, batches, num_sent, here

    def finish(self) -> Filled:
        """See Filling."""
        self._filler.wait_for(self._batches)
        here = self._here.finish()
        broken = dict(here.broken)
        for batch in self._batches:
            broken[batch.modality] = broken.get(batch.modality, frozenset()) | batch.broken
        return Filled(num_encoded={**self._num_sent, **here.num_encoded}, broken=broken)
