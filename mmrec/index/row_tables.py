"""Small hash tables of rows for compiled code: what a request knows about a few thousand rows out of any number.

    table_S = empty_table(num_rows)              room for so many different rows
    slot = slot_of(table_S, rows_U, row)         where the row's place is, or is to be put
    place = table_S[slot]                        NO_PLACE where the row is not there; else rows_U[place] == row

The table holds places in an array of the different rows that the caller fills in the order in which they come. Linear
probing (Knuth, TAOCP 3, 6.4); at most half of the slots are taken. Compiled with what calls it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.compiled import INT, SMALL_INT, compiled, formula, reads

NO_PLACE: Final = -1
_FACTOR: Final = 2_654_435_761
"""2 ** 32 over the golden ratio: rows next to each other come far apart."""


@formula
def empty_table(num_rows: int) -> npt.NDArray[np.int32]:
    """A table with room for `num_rows` different rows."""
    num_slots = 8
    while num_slots < 2 * num_rows:
        num_slots *= 2
    return np.full(num_slots, NO_PLACE, dtype=np.int32)


@formula
def slot_of(table_S: npt.NDArray[np.int32], rows_U: npt.NDArray[np.int64], row: int) -> int:
    """The slot of a row >= 0, whether it is there or not."""
    mask = len(table_S) - 1
    slot = ((row * _FACTOR) >> 15) & mask
    while table_S[slot] != NO_PLACE and rows_U[table_S[slot]] != row:
        slot = (slot + 1) & mask
    return slot


@compiled(reads(INT, 1))
def table_of(rows_U: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """A table of rows, the place of each being its position; of a row that repeats, the last one. -1 is left out."""
    table_S = empty_table(len(rows_U))
    for place in range(len(rows_U)):
        if rows_U[place] >= 0:
            table_S[slot_of(table_S, rows_U, rows_U[place])] = place
    return table_S


@compiled(reads(SMALL_INT, 1), reads(INT, 1), reads(INT, 1))
def places_in(
    table_S: npt.NDArray[np.int32], rows_U: npt.NDArray[np.int64], rows_N: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Place of each of N rows in a table, NO_PLACE where it is not there, shape (N,)."""
    places_N = np.full(len(rows_N), NO_PLACE, dtype=np.int64)
    for n in range(len(rows_N)):
        if rows_N[n] >= 0:
            places_N[n] = table_S[slot_of(table_S, rows_U, rows_N[n])]
    return places_N
