"""Filters and sorts of wide tables that avoid needless copies: Arrow's own copy every value of every column.

rows_where(table, mask)      the rows of a mask; the table itself where the mask is true everywhere
in_place_order(table)        sorted by (cluster, topic, partition, offset); the table itself where it is sorted
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.log import PLACE_COLUMNS


def rows_where(table: pa.Table, mask: "pa.Array | pa.ChunkedArray | npt.NDArray[np.bool_]") -> pa.Table:
    """Rows where `mask` is true, in their order.

    Args:
        mask: One value per row; null is false.
    """
    if isinstance(mask, np.ndarray):
        mask = pa.array(mask)
    number = pc.sum(mask).as_py() or 0
    if number == table.num_rows:
        return table
    return table.filter(mask) if number else table.slice(0, 0)


def in_place_order(table: pa.Table) -> pa.Table:
    """Rows by cluster id, topic id, partition and offset, ascending; rows of the same place keep their order."""
    texts, numbers = PLACE_COLUMNS[:2], PLACE_COLUMNS[2:]
    keys = [_ranks(table[name]) for name in texts] + [table[name].to_numpy() for name in numbers]
    if _ascending(keys):
        return table
    order = pa.array(np.lexsort(keys[::-1]))

    def ordered(column: pa.ChunkedArray) -> pa.Array:
        return column.combine_chunks().take(order)

    with ThreadPoolExecutor() as pool:
        return pa.Table.from_arrays(list(pool.map(ordered, table.columns)), schema=table.schema)


def _ranks(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rank of each value's text among the distinct texts, shape (N,)."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    rank_of = np.empty(len(names), dtype=np.int64)
    rank_of[np.argsort(names, kind="stable")] = np.arange(len(names))
    ranks_N: npt.NDArray[np.int64] = rank_of[encoded.indices.to_numpy()]
    return ranks_N


def _ascending(keys: Sequence[npt.NDArray[np.int64]]) -> bool:
    """Whether rows with these keys, the most significant first, are in order already."""
    undecided = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    for values in keys:
        steps = np.diff(values)
        if np.any(undecided & (steps < 0)):
            return False
        undecided &= steps == 0
    return True
