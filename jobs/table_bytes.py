"""Tables as bytes, in pieces of bounded size, to pass them through an engine that would take every value apart.

Spark converts each value of each row at every step between Python and the JVM. A piece is one value, whatever it holds.
It is compressed (LZ4), since it is copied at each of those steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa

MAX_GAIN: Final = 8
"""A piece is compressed only if that makes it at most this many times smaller, so that its size bounds that of rows."""
_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_PLAIN: Final = pa.ipc.IpcWriteOptions()
MAX_PIECE_BYTES: Final = 4 << 20
"""Approximate largest size of a piece; a single row may be larger."""


def table_pieces(table: pa.Table, *, max_bytes: int = MAX_PIECE_BYTES) -> Iterator[tuple[pa.Table, bytes]]:
    """(rows, the same as bytes) of consecutive pieces; nothing for an empty table."""
    if not table.num_rows:
        return
    rows = max(1, table.num_rows * max_bytes // max(table.nbytes, 1))
    for start in range(0, table.num_rows, rows):
        piece = table.slice(start, rows)
        if piece.nbytes > 2 * max_bytes and piece.num_rows > 1:  # a few long rows beside many short ones
            yield from table_pieces(piece, max_bytes=max_bytes)
            continue
        data = _bytes_of(piece, _COMPRESSED)
        yield piece, data if len(data) * MAX_GAIN >= piece.nbytes else _bytes_of(piece, _PLAIN)


def table_of(pieces: Iterable[bytes], schema: pa.Schema) -> pa.Table:
    """The table of all pieces, in their order."""
    tables = [pa.ipc.open_stream(piece).read_all() for piece in pieces]
    return pa.concat_tables([schema.empty_table(), *tables])


def parts_by_size(sizes: Sequence[int], number: int) -> list[tuple[int, int]]:
    """Cut things of these sizes, in their order, into about `number` parts of similar size; two or more are always cut.

    Returns:
        For each part, the position of its first thing and the position after its last one.
    """
    parts: list[tuple[int, int]] = []
    start = held = 0
    for at, size in enumerate(sizes):
        if at > start and (held + size) * number > sum(sizes):
            parts.append((start, at))
            start, held = at, 0
        held += size
    return [*parts, (start, len(sizes))]


def _bytes_of(table: pa.Table, options: pa.ipc.IpcWriteOptions) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue().to_pybytes())
