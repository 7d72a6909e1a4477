"""Pieces of a table hold its rows, in order, and are bounded in bytes."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from jobs.table_bytes import MAX_GAIN, parts_by_size, table_of, table_pieces

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.string()), pa.field("data", pa.binary())])


def table(lengths: list[int]) -> pa.Table:
    rows = [{"n": n, "text": "x" * length, "data": None} for n, length in enumerate(lengths)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@given(st.lists(st.integers(0, 3_000), max_size=60), st.integers(100, 20_000))
def test_pieces_together_are_the_table(lengths: list[int], max_bytes: int) -> None:
    whole = table(lengths)
    pieces = list(table_pieces(whole, max_bytes=max_bytes))
    assert table_of([data for _, data in pieces], SCHEMA).equals(whole)
    assert pa.concat_tables([SCHEMA.empty_table(), *(rows for rows, _ in pieces)]).equals(whole)
    for rows, _ in pieces:
        assert rows.num_rows == 1 or rows.nbytes <= 2 * max_bytes


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_pieces_bound_their_rows_however_well_those_compress(lengths: list[int]) -> None:
    for rows, data in table_pieces(table(lengths), max_bytes=50_000):
        assert len(data) * MAX_GAIN >= rows.nbytes


@given(st.lists(st.integers(1, 1_000), min_size=2, max_size=40), st.integers(2, 6))
def test_parts_by_size_follow_each_other_and_none_is_long(sizes: list[int], number: int) -> None:
    parts = parts_by_size(sizes, number)
    assert [0, *(stop for _, stop in parts)] == [*(start for start, _ in parts), len(sizes)]
    assert len(parts) >= 2
    assert all(stop - start == 1 or sum(sizes[start:stop]) * number <= sum(sizes) for start, stop in parts)


def test_one_long_row_does_not_swell_the_others() -> None:
    pieces = [rows.num_rows for rows, _ in table_pieces(table([10] * 50 + [100_000] + [10] * 50), max_bytes=10_000)]
    assert sum(pieces) == 101
    assert max(pieces) > 1


def test_an_empty_table_has_no_pieces() -> None:
    assert list(table_pieces(SCHEMA.empty_table())) == []
    assert table_of([], SCHEMA).equals(SCHEMA.empty_table())
