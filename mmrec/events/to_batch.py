"""From the event table to the columns that *apply* reads."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.errors import NotFoundError
from mmrec.events.columns import were_resubmitted
from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.source import Source, source_of


def event_batch(table: pa.Table, behaviors: BehaviorSet) -> EventBatch:
    """Columns of decoded events.

    Args:
        table: EVENT_SCHEMA, N rows in any order; only the columns that scoring needs are read, and `imported` and
            `context` where the table has them: they say which events are exempt from caps.
        behaviors: The configured set.

    Raises:
        NotFoundError: a behavior of the table is not configured.
    """
    sources, source_index_N = sources_of(table)
    return EventBatch(
        user_keys=_objects(table["user_key"]),
        item_ids=_objects(table["item_id"]),
        behavior_ids_N=_behavior_ids(table["behavior"], behaviors),
        event_times_N=table["event_time_s"].to_numpy(),
        known_times_N=table["known_time_s"].to_numpy(),
        ingest_times_N=table["ingest_time_s"].to_numpy(),
        event_hashes_N=event_hashes(table["event_id"].to_pylist()),
        sources=sources,
        source_index_N=source_index_N,
        offsets_N=table["offset"].to_numpy(),
        exempt_N=_exempt(table),
    )


def _exempt(table: pa.Table) -> npt.NDArray[np.bool_] | None:
    """Events that no cap applies to: imported history has no rate, and resubmitted events were judged before."""
    exempt_N: npt.NDArray[np.bool_] = np.zeros(table.num_rows, dtype=np.bool_)
    if "imported" in table.column_names:
        exempt_N |= table["imported"].to_numpy()
    if "context" in table.column_names:
        exempt_N |= were_resubmitted(table["context"]).to_numpy()
    return exempt_N if exempt_N.any() else None


def configured(table: pa.Table, behaviors: BehaviorSet) -> npt.NDArray[np.bool_]:
    """Mask of the rows with a configured behavior, shape (N,); a log may hold behaviors of earlier configurations."""
    mask_N: npt.NDArray[np.bool_] = pc.is_in(
        table["behavior"], value_set=pa.array(behaviors.names, pa.string())
    ).to_numpy()
    return mask_N


def _objects(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    # Equal strings become one object, which makes dictionaries of users and items cheaper.
    objects: npt.NDArray[np.object_] = np.empty(len(column), dtype=object)
    encoded = column.combine_chunks().dictionary_encode()
    if len(column):
        values = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
        objects[:] = values[encoded.indices.to_numpy()]
    return objects


def _behavior_ids(column: pa.ChunkedArray, behaviors: BehaviorSet) -> npt.NDArray[np.uint8]:
    place_N = pc.index_in(column, value_set=pa.array(behaviors.names))
    if place_N.null_count:
        unknown = next(name for name in pc.unique(column).to_pylist() if name not in behaviors)
        raise NotFoundError(f"behavior {unknown!r} is not configured; known: {', '.join(behaviors.names)}")
    ids_N: npt.NDArray[np.uint8] = behaviors.ids_B[place_N.to_numpy()]
    return ids_N


def sources_of(table: pa.Table) -> tuple[tuple[Source, ...], npt.NDArray[np.int32]]:
    """Sources of a table with PLACE columns, in order, and each row's position among them, shape (N,)."""
    if not table.num_rows:
        return (), np.zeros(0, dtype=np.int32)
    keys = ["cluster_id", "topic_id", "partition"]
    found = table.select(keys).group_by(keys).aggregate([]).to_pylist()
    sources = tuple(sorted(source_of(f["cluster_id"], f["topic_id"], f["partition"]) for f in found))
    source_index_N = np.full(table.num_rows, -1, dtype=np.int32)
    for index, source in enumerate(sources):
        mine = pc.and_(
            pc.and_(pc.equal(table["cluster_id"], source.cluster_id), pc.equal(table["topic_id"], source.topic_id)),
            pc.equal(table["partition"], source.partition),
        )
        source_index_N[mine.to_numpy()] = index
    return sources, source_index_N
