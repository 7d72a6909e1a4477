"""Columns of a table that only grows: what a reader was given never changes, and a change costs as much as it changes.

    column = GrowingColumn(fill=0.0, dtype=np.float64)
    column.put(rows, values)            writes where no reader looks
    column.view(num_rows)               for readers: the first rows, read-only

New rows go into spare room. Where a row changes that somebody may read, the writer turns to a second copy of the column
that nobody reads any more, and first brings over what has changed since it was put aside: two copies that take turns,
as in Left-Right (Ramalhete and Correia, 2015), so a change costs its own rows, in a thousand or a million. Only where
readers still hold both copies is the column copied whole. For one writing thread; views are for all.

Whether a copy is read is known from its views: each is made of a lease, which lives as long as any array made of it.
"""

import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

_LEAST_ROOM = 64
_Value = TypeVar("_Value")
RowArray = npt.NDArray[np.int64]


class _Lease:
    """What a view is made of. NumPy keeps it alive for the view, and for all views of that."""

    __slots__ = ("__array_interface__", "__weakref__", "_array")

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array, self.__array_interface__ = array, array.__array_interface__


class _Readers:
    """Who may still read one copy."""

    def __init__(self) -> None:
        self._leases: list[weakref.ref[Any]] = []

    def add(self, lease: Any) -> None:
        self._leases = [each for each in self._leases if each() is not None]
        self._leases.append(weakref.ref(lease))

    def are_gone(self) -> bool:
        return all(each() is None for each in self._leases)


class GrowingColumn:
    """One array, by row."""

    def __init__(self, *, fill: Any, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        """An empty column.

        Args:
            fill: What rows hold that were never put.
            shape: Of one row.
        """
        self._fill = fill
        self._array, self._readers = np.full((0, *shape), fill, dtype=dtype), _Readers()
        self._num_given = 0
        """Rows that a reader may hold a view of."""
        self._aside: npt.NDArray[Any] | None = None
        """The copy that takes the next turn, where there is one, who reads it, and the rows in which it is behind."""
        self._aside_readers = _Readers()
        self._behind: list[RowArray] = []
        self._num_behind = 0
        self.num_copies = 0
        """How often the whole column was copied so far."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self._array.shape[1:]

    def put(self, rows_N: npt.NDArray[np.integer], values_N: npt.ArrayLike) -> None:
        """Replace rows; rows beyond the last one are new."""
        if not len(rows_N):
            return
        self._make_room(int(rows_N.max()) + 1)
        if int(rows_N.min()) < self._num_given and not self._readers.are_gone():
            self._take_turns()
        self._array[rows_N] = values_N
        if self._aside is not None:
            self._behind.append(np.array(rows_N, dtype=np.int64))
            self._num_behind += len(rows_N)
            if self._num_behind > len(self._array) // 2:
                self._forget_aside()

    def at(self, rows_N: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """The rows as they are now, copied."""
        self._make_room(int(rows_N.max(initial=-1)) + 1)
        rows: npt.NDArray[Any] = self._array[rows_N]
        return rows

    def widen(self, shape: tuple[int, ...]) -> None:
        """Let rows be larger along any axis; what they held stands at the beginning."""
        if shape != self.shape:
            wider = np.full((len(self._array), *shape), self._fill, dtype=self._array.dtype)
            wider[(slice(None), *map(slice, self.shape))] = self._array
            self._start_anew(wider)

    def now(self, num_rows: int) -> npt.NDArray[Any]:
        """The first rows as they are now, for the writer alone: later changes may show in it."""
        self._make_room(num_rows)
        return self._array[:num_rows]

    def view(self, num_rows: int) -> npt.NDArray[Any]:
        """The first rows, read-only; later changes do not show in it."""
        self._make_room(num_rows)
        self._num_given = max(self._num_given, num_rows)
        lease = _Lease(self._array[:num_rows])
        self._readers.add(lease)
        view = np.asarray(lease)
        view.flags.writeable = False
        return view

    def _take_turns(self) -> None:
        """Write into the other copy from now on; into a new one where that is read, too."""
        other = self._aside
        if other is None or not self._aside_readers.are_gone():
            other = self._array.copy()
            self.num_copies += 1
        elif self._behind:
            rows = np.concatenate(self._behind)
            other[rows] = self._array[rows]
        self._aside, self._array = self._array, other
        self._aside_readers, self._readers = self._readers, _Readers()
        self._num_given, self._behind, self._num_behind = 0, [], 0

    def _forget_aside(self) -> None:
        self._aside, self._aside_readers, self._behind, self._num_behind = None, _Readers(), [], 0

    def _start_anew(self, array: npt.NDArray[Any]) -> None:
        """Go on with another array of the same rows; who reads the old one keeps it."""
        self._array, self._readers, self._num_given = array, _Readers(), 0
        self._forget_aside()

    def _make_room(self, num_rows: int) -> None:
        if num_rows > len(self._array):
            room = np.full(
                (max(num_rows, 2 * len(self._array), _LEAST_ROOM), *self.shape), self._fill, dtype=self._array.dtype
            )
            room[: len(self._array)] = self._array
            self._start_anew(room)


class ListView(Sequence[_Value], Generic[_Value]):
    """The first values of a list that others append to; equal to any sequence of the same values."""

    __slots__ = ("__weakref__", "_num", "_values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: list[_Value], num_values: int) -> None:
        self._values, self._num = values, num_values

    def __len__(self) -> int:
        return self._num

    @overload
    def __getitem__(self, place: int) -> _Value: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Value, ...]: ...
    def __getitem__(self, place: int | slice) -> _Value | tuple[_Value, ...]:
        if isinstance(place, slice):
            return tuple([self._values[at] for at in range(*place.indices(self._num))])
        at = place + self._num if place < 0 else place
        if not 0 <= at < self._num:
            raise IndexError(f"place {place} of a list of {self._num}")
        return self._values[at]

    def __iter__(self) -> Iterator[_Value]:
        return islice(self._values, self._num)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ListView) and other._values is self._values:
            return self._num == other._num
        return isinstance(other, Sequence) and len(other) == self._num and all(map(_same, self, other))

    def first(self, num_values: int) -> "ListView[_Value]":
        """The first values; the list must be one that only grows, as this view keeps no writer from changing it."""
        return ListView(self._values, min(num_values, self._num))

    def begins_with(self, other: Sequence[_Value]) -> bool:
        """Whether the first values are those; costs nothing where both are views of one list."""
        if isinstance(other, ListView) and other._values is self._values:
            return len(other) <= self._num
        return len(other) <= self._num and all(map(_same, self, other))


def _same(one: object, other: object) -> bool:
    return one is other or one == other


def first_of(values: Sequence[_Value], num_values: int) -> Sequence[_Value]:
    """The first values of a sequence; costs nothing for a view of a list."""
    return values.first(num_values) if isinstance(values, ListView) else values[:num_values]


def begins_with(values: Sequence[_Value], first: Sequence[_Value]) -> bool:
    """Whether a sequence begins with the values of another one."""
    if isinstance(values, ListView):
        return values.begins_with(first)
    return len(first) <= len(values) and all(map(_same, first, values))


class GrowingList(Generic[_Value]):
    """As GrowingColumn, for any objects."""

    def __init__(self, *, fill: _Value) -> None:
        """An empty list.

        Args:
            fill: What places hold that were never put.
        """
        self._fill = fill
        self._values: list[_Value] = []
        self._readers, self._num_given = _Readers(), 0
        self._aside: list[_Value] | None = None
        self._aside_readers = _Readers()
        self._behind: list[int] = []

    def __len__(self) -> int:
        return len(self._values)

    def put(self, place: int, value: _Value) -> None:
        """Replace a value; places beyond the last one are new."""
        self._fill_up(place + 1)
        if place < self._num_given and not self._readers.are_gone():
            self._take_turns()
        self._values[place] = value
        if self._aside is not None:
            self._behind.append(place)
            if len(self._behind) > len(self._values) // 2:
                self._aside, self._behind = None, []

    def view(self, num_values: int) -> ListView[_Value]:
        """The first values; later changes do not show in it."""
        self._fill_up(num_values)
        self._num_given = max(self._num_given, num_values)
        view = ListView(self._values, num_values)
        self._readers.add(view)
        return view

    def _fill_up(self, num_values: int) -> None:
        self._values.extend([self._fill] * (num_values - len(self._values)))

    def _take_turns(self) -> None:
        other, places = self._aside, self._behind
        if other is None or not self._aside_readers.are_gone():
            other, places = list(self._values), []
        other.extend(self._values[len(other) :])
        for place in places:
            other[place] = self._values[place]
        self._aside, self._values = self._values, other
        self._aside_readers, self._readers = self._readers, _Readers()
        self._num_given, self._behind = 0, []
