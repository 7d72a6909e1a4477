"""A catalogue's items as a sequence whose pictures lie in a file: memory grows with texts and attributes alone.

items = SpooledItems()
items.append(item)                  its picture goes to a temporary file
items[7], for item in items: ...    with their pictures, each read when it is asked for
items_of(items, rows)               some of them, nothing copied
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import overload

from mmrec.catalog.item import CatalogItem


class SpooledItems(Sequence[CatalogItem]):
    """Items in the order in which they came. The file goes with the process."""

    def __init__(self) -> None:
        self._bare: list[CatalogItem] = []
        self._places: list[tuple[int, int] | None] = []
        """(offset, bytes) of each item's picture; None where it has none."""
        self._file, self._end = tempfile.TemporaryFile(buffering=0), 0  # noqa: SIM115 (as long as the items)

    def append(self, item: CatalogItem) -> None:
        """Add an item."""
        self._places.append(None if item.image is None else (self._end, len(item.image)))
        self._bare.append(replace(item, image=None))
        rest = memoryview(item.image or b"")
        while rest:
            written = os.pwrite(self._file.fileno(), rest, self._end)
            self._end, rest = self._end + written, rest[written:]

    def __len__(self) -> int:
        return len(self._bare)

    @overload
    def __getitem__(self, row: int) -> CatalogItem: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[CatalogItem]: ...
    def __getitem__(self, row: int | slice) -> CatalogItem | Sequence[CatalogItem]:
        if isinstance(row, slice):
            return items_of(self, range(len(self))[row])
        item, place = self._bare[row], self._places[row]
        if place is None:
            return item
        offset, size = place
        image = b""
        while len(image) < size:
            image += os.pread(self._file.fileno(), size - len(image), offset + len(image))
        return replace(item, image=image)


class _SomeItems(Sequence[CatalogItem]):
    def __init__(self, items: Sequence[CatalogItem], rows: Sequence[int]) -> None:
        self._items, self._rows = items, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> CatalogItem: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[CatalogItem]: ...
    def __getitem__(self, row: int | slice) -> CatalogItem | Sequence[CatalogItem]:
        if isinstance(row, slice):
            return _SomeItems(self._items, self._rows[row])
        return self._items[self._rows[row]]


def items_of(items: Sequence[CatalogItem], rows: Sequence[int]) -> Sequence[CatalogItem]:
    """The items at `rows`, in that order, each read when it is asked for."""
    return _SomeItems(items, rows)
