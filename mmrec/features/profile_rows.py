"""Rows of packed profiles as a worker without Feast reads and writes them: the port of jobs/partition_workers.py.

rows = open_profile_rows(layout, lease=lease)       (mmrec.wiring)
dict(rows.read(["ann"], "packed"))
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Protocol


class RowLayout(Hashable, Protocol):
    """Where the rows of one view are: made by the writer, sent to workers, equal where the place is the same."""

    @property
    def view(self) -> str:
        """Name of the view in the store."""
        ...


class ProfileRows(Protocol):
    """One view's rows; not for two threads at a time. Raises StoreError and the errors named by the engine's module."""

    def read(self, keys: Iterable[str], name: str) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the bytes feature `name` for the keys that have it."""
        ...

    def begin_batch(self, batch: bytes) -> None:
        """Refuse writes for any other micro-batch from now on."""
        ...

    def write(
        self, rows: Mapping[str, Mapping[str, bytes | str]], *, write_time_s: float, batch: bytes | None = None
    ) -> None:
        """Replace the named values of each key, each key in one step.

        Args:
            batch: The micro-batch this is for, so that a worker that was given up cannot overwrite later profiles.
        """
        ...
