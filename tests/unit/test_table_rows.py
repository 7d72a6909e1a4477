"""Rows of tables: what pyarrow's own filter and sort give, and the table itself where nothing is to do."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmrec.events.log import PLACE_COLUMNS
from mmrec.events.table_rows import in_place_order, rows_where

SCHEMA = pa.schema(
    [
        pa.field("cluster_id", pa.string()),
        pa.field("topic_id", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("number", pa.int64()),
    ]
)
PLACES = st.tuples(
    st.sampled_from(["", "a", "b", "\u00e9", "\U0001f600", "\uffff"]),
    st.sampled_from(["s", "t"]),
    st.integers(0, 2),
    st.integers(0, 5),
)


def table(places: list[tuple[str, str, int, int]], num_chunks: int) -> pa.Table:
    rows = pa.Table.from_arrays(
        [*(pa.array([p[at] for p in places], SCHEMA.types[at]) for at in range(4)), pa.array(range(len(places)))],
        schema=SCHEMA,
    )
    size = max(1, -(-len(places) // num_chunks))
    return pa.concat_tables([SCHEMA.empty_table(), *(rows.slice(n, size) for n in range(0, len(places), size))])


@given(places=st.lists(PLACES, max_size=12), num_chunks=st.integers(1, 3))
def test_in_place_order_is_the_stable_sort_by_place(places: list[tuple[str, str, int, int]], num_chunks: int) -> None:
    rows = table(places, num_chunks)
    ordered = in_place_order(rows)
    order = [(name, "ascending") for name in (*PLACE_COLUMNS, "number")]
    assert ordered.to_pylist() == rows.sort_by(order).to_pylist()
    assert in_place_order(ordered) is ordered


@given(mask=st.lists(st.sampled_from([True, False, None]), max_size=8))
def test_rows_where_is_a_filter_and_copies_nothing_where_all_stay(mask: list[bool | None]) -> None:
    rows = table([("a", "t", 0, n) for n in range(len(mask))], 2)
    assert rows_where(rows, pa.array(mask, pa.bool_())).equals(rows.filter(pa.array(mask, pa.bool_())))
    everything = np.ones(len(mask), dtype=bool)
    assert rows_where(rows, everything) is rows
    assert rows_where(rows, ~everything).num_rows == 0
