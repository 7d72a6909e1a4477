"""Places of records: which were processed before, which were logged before a crash, and the name of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.table_rows import rows_where
from mmrec.scoring.source import Source
from mmrec.stream.rows import StreamBatch

BoolArray = npt.NDArray[np.bool_]


class Offsets:
    """A set of offsets per source; an empty set is false."""

    def __init__(self) -> None:
        self._parts: dict[Source, list[npt.NDArray[np.int64]]] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, source: Source, offsets_N: npt.NDArray[np.int64]) -> None:
        """Add offsets, in any order and with repeats."""
        if len(offsets_N):
            self._parts.setdefault(source, []).append(offsets_N)

    def hold(
        self,
        sources: Sequence[Source],
        source_index_N: npt.NDArray[np.int32],
        offsets_N: npt.NDArray[np.int64],
    ) -> BoolArray:
        """Mask of the places that are in the set, shape (N,)."""
        found_N = np.zeros(len(offsets_N), dtype=np.bool_)
        for index, source in enumerate(sources):
            if source in self._parts:
                mine_N = source_index_N == index
                found_N[mine_N] = np.isin(offsets_N[mine_N], np.concatenate(self._parts[source]))
        return found_N

    def passed_by(self, marks: Mapping[Source, int]) -> bool:
        """Whether every offset is at or below the mark of its source."""
        return all(marks.get(s, -1) >= max(int(part.max()) for part in parts) for s, parts in self._parts.items())


def beyond(batch: StreamBatch, marks: Mapping[Source, int]) -> StreamBatch:
    """The batch without the records at or below the mark of their source."""
    names = ("events", "control", "rejected", "served", "malformed_served", "unknown_fields")
    return replace(batch, **{name: _beyond(getattr(batch, name), marks) for name in names})


def is_beyond(table: pa.Table, marks: Mapping[Source, int]) -> BoolArray:
    """Mask of the rows above the mark of their source, shape (N,)."""
    keep = pa.array(np.ones(table.num_rows, dtype=np.bool_))
    for source, mark in marks.items() if table.num_rows else ():
        theirs = pc.and_(
            pc.and_(pc.equal(table["topic_id"], source.topic_id), pc.equal(table["cluster_id"], source.cluster_id)),
            pc.equal(table["partition"], source.partition),
        )
        keep = pc.and_not(keep, pc.and_(theirs, pc.less_equal(table["offset"], mark)))
    mask_N: BoolArray = keep.to_numpy(zero_copy_only=False)
    return mask_N


def batch_key(ends: Mapping[Source, int]) -> str:
    """Name of the batch that ends there."""
    return ";".join(f"{s.cluster_id}/{s.topic_id}/{s.partition}:{end}" for s, end in sorted(ends.items()))


def _beyond(table: pa.Table, marks: Mapping[Source, int]) -> pa.Table:
    return rows_where(table, is_beyond(table, marks)) if table.num_rows else table
