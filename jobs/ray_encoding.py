"""Many payloads at once through an encoder, by Ray Data; jobs.encode_items uses it for a new catalogue."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmrec.content.encoder import Encoder
from mmrec.content.registry import encoder
from mmrec.content.store import ContentStore
from mmrec.telemetry.logs import get_logger

log = get_logger("jobs.encode_items")


class EncodeBatch:
    """One Ray Data worker: an encoder, loaded once."""

    def __init__(self, modality: str, name: str) -> None:
        self._encoder = encoder(modality, name, num_threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Payloads to vectors; `good` is False where an input could not be read."""
        encodings = self._encoder.encode([bytes(payload) for payload in batch["payload"]])
        good = np.array([not reason for reason in encodings.reasons_N], dtype=np.bool_)
        return {"digest": batch["digest"], "values": encodings.values_ND, "good": good}


def encode_with_ray(wanted: Encoder, payload_of: Mapping[bytes, bytes], store: ContentStore, num_workers: int) -> None:
    """Encode payloads by digest into the store's cache, with `num_workers` processes."""
    import ray

    # A cluster named by RAY_ADDRESS is used as it is; otherwise one of our own, for as long as the job.
    own = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
    ray.init(ignore_reinit_error=True, log_to_driver=False, **own)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"digest": digest, "payload": payload} for digest, payload in payload_of.items()]
    started_s, done = time.monotonic(), 0
    encoded = ray.data.from_items(rows, override_num_blocks=max(1, min(len(rows) // 32, 64))).map_batches(
        EncodeBatch,
        fn_constructor_args=(wanted.modality, wanted.name),
        batch_size=32,
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        num_cpus=1,
    )
    for batch in encoded.iter_batches(batch_size=256):
        good = np.flatnonzero(batch["good"])
        store.remember(wanted.fingerprint, [bytes(batch["digest"][row]) for row in good], batch["values"][good])
        done += len(batch["good"])
        log.info(
            "encoding",
            modality=wanted.modality,
            done=done,
            of=len(rows),
            seconds=round(time.monotonic() - started_s, 1),
        )
