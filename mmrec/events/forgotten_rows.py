"""Which rows of the log belong to forgotten users, and which are too old: one rule for all who write and read it."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.control import IDENTIFY
from mmrec.events.forgotten import ForgottenUsers

SECONDS_PER_DAY: Final = 86_400
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


def filter_columns(schema: pa.Schema) -> list[str]:
    """Columns of events or served lists that kept_rows needs."""
    if "known_time_s" in schema.names:
        return ["user_key", "known_time_s", "behavior", "item_id"]
    return ["user_key", "serve_time_s", "ingest_time_s"]


def kept_rows(table: pa.Table, users: ForgottenUsers) -> BoolArray:
    """Mask of the rows that no forget request covers, shape (rows,).

    A request covers a user's rows known at or before its instant. A served list counts as known when it was served or
    logged, whichever is earlier. An identify row is covered if either of its two ids is.

    Args:
        table: At least filter_columns() of events or served lists.
    """
    if "known_time_s" not in table.column_names:
        known_N = np.minimum(table["serve_time_s"].to_numpy(), table["ingest_time_s"].to_numpy())
        kept_N: BoolArray = known_N > _instants(table["user_key"], users)
        return kept_N
    kept_N = table["known_time_s"].to_numpy() > _instants(table["user_key"], users)
    merges = pc.equal(table["behavior"], IDENTIFY)
    if pc.any(merges).as_py():
        rows_M = np.flatnonzero(merges.to_numpy())
        merged = table.take(pa.array(rows_M))
        kept_N[rows_M] &= merged["known_time_s"].to_numpy() > _instants(merged["item_id"], users)
    return kept_N


def first_day_kept(newest_ingest_s: float, keep_s: float) -> int:
    """First ingest day (days since the epoch, UTC) that a log keeps; all where `keep_s` is 0 or inf."""
    return int((newest_ingest_s - keep_s) // SECONDS_PER_DAY) if 0 < keep_s < math.inf else -(1 << 62)


def expired_rows(table: pa.Table, first_day: int) -> BoolArray:
    """Mask of the rows of earlier ingest days that are removed because of their age, shape (rows,).

    Identify rows stay: they are needed to find the user of events that are kept, and of a guest who comes back.

    Args:
        table: Events, with `behavior`, or served lists.
        first_day: See first_day_kept().
    """
    old_N: BoolArray = ingest_days(table) < first_day
    return old_N & ageing_rows(table)


def ageing_rows(table: pa.Table) -> BoolArray:
    """Mask of the rows that are removed once they are old enough, shape (rows,)."""
    if "behavior" not in table.column_names:
        return np.ones(table.num_rows, dtype=np.bool_)
    ageing_N: BoolArray = pc.not_equal(table["behavior"], IDENTIFY).to_numpy()
    return ageing_N


def ingest_days(table: pa.Table) -> npt.NDArray[np.int64]:
    """Ingest day of each row, shape (rows,)."""
    days_N: npt.NDArray[np.int64] = (table["ingest_time_s"].to_numpy() // SECONDS_PER_DAY).astype(np.int64)
    return days_N


def _instants(keys: pa.ChunkedArray, users: ForgottenUsers) -> FloatArray:
    """Instant up to which each row's user is forgotten, -inf for others."""
    encoded = keys.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    found = users.forgotten_s(names)
    instants_D = np.array([found.get(name, -np.inf) for name in names] or [-np.inf])
    instants_N: FloatArray = instants_D[encoded.indices.to_numpy()]
    return instants_N
