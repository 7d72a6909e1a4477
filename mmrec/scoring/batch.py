"""Decoded events as aligned NumPy columns: what *apply* reads.

Axis: N events. A micro-batch of the stream, a file of history and the session events of a request all take this form.
Session events have no source, so no mark applies to them; only the ring of event ids finds their repeats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from mmrec.scoring.profile import FloatArray
from mmrec.scoring.source import Source

NO_SOURCE = -1
"""source_index of an event that no partition delivered, such as a session event of a request."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventBatch:
    """N decoded events in any order."""

    user_keys: npt.NDArray[np.object_]
    """Profile keys, str, shape (N,): user_id, or "~" + anonymous_id."""
    item_ids: npt.NDArray[np.object_]
    """str, shape (N,)."""
    behavior_ids_N: npt.NDArray[np.uint8]
    """Stable ids of configured behaviors."""
    event_times_N: FloatArray
    """When it happened, epoch seconds: drives decay."""
    known_times_N: FloatArray
    """When the system could know it: ingest time, or event time for imported history."""
    ingest_times_N: FloatArray
    """When the broker (or the request) got it: drives the ring's window."""
    event_hashes_N: npt.NDArray[np.uint64]
    """event_hashes of the event ids."""
    sources: tuple[Source, ...]
    """The partitions the events came from; indexed by `source_index_N`."""
    source_index_N: npt.NDArray[np.int32]
    """Position in `sources`, or NO_SOURCE."""
    offsets_N: npt.NDArray[np.int64]
    """Offset within the source; without meaning where there is no source."""
    exempt_N: npt.NDArray[np.bool_] | None = None
    """Events that no cap applies to (imported or resubmitted), shape (N,); None where there is none."""

    def __post_init__(self) -> None:
        num_events = len(self.user_keys)
        for name in (
            "item_ids",
            "behavior_ids_N",
            "event_times_N",
            "known_times_N",
            "ingest_times_N",
            "event_hashes_N",
            "source_index_N",
            "offsets_N",
        ):
            if len(getattr(self, name)) != num_events:
                raise ValueError(f"{name} has {len(getattr(self, name))} values for {num_events} events; give one each")
        if self.exempt_N is not None and len(self.exempt_N) != num_events:
            raise ValueError(f"exempt_N has {len(self.exempt_N)} values for {num_events} events; give one each")

    def __len__(self) -> int:
        return len(self.user_keys)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "EventBatch":
        """The chosen events, by positions or by a mask of shape (N,)."""
        return EventBatch(
            user_keys=self.user_keys[rows],
            item_ids=self.item_ids[rows],
            behavior_ids_N=self.behavior_ids_N[rows],
            event_times_N=self.event_times_N[rows],
            known_times_N=self.known_times_N[rows],
            ingest_times_N=self.ingest_times_N[rows],
            event_hashes_N=self.event_hashes_N[rows],
            sources=self.sources,
            source_index_N=self.source_index_N[rows],
            offsets_N=self.offsets_N[rows],
            exempt_N=None if self.exempt_N is None else self.exempt_N[rows],
        )


def event_hashes(event_ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    """64 bits of BLAKE2b over each id's UTF-8, shape (N,): the same on every machine, for ever (profiles hold them)."""
    digests = b"".join([blake2b(event_id.encode(), digest_size=8).digest() for event_id in event_ids])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64, copy=False)


def session_batch(
    *,
    user_key: str,
    item_ids: Sequence[str],
    behavior_ids: Sequence[int],
    event_times_s: Sequence[float],
    event_ids: Sequence[str],
    ingest_time_s: float,
) -> EventBatch:
    """Events that came with a request: no source, known and ingested at `ingest_time_s`.

    Args:
        event_ids: One per event; give unique ids where the caller has none, or equal ones count once.
    """
    num_events = len(item_ids)
    arrived_N = np.full(num_events, ingest_time_s, dtype=np.float64)
    return EventBatch(
        user_keys=np.array([user_key] * num_events, dtype=object),
        item_ids=np.array(list(item_ids), dtype=object),
        behavior_ids_N=np.array(behavior_ids, dtype=np.uint8),
        event_times_N=np.array(event_times_s, dtype=np.float64),
        known_times_N=arrived_N,
        ingest_times_N=arrived_N,
        event_hashes_N=event_hashes(event_ids),
        sources=(),
        source_index_N=np.full(num_events, NO_SOURCE, dtype=np.int32),
        offsets_N=np.full(num_events, -1, dtype=np.int64),
    )
