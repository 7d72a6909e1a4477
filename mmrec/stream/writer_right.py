"""The right to write profiles, as the stream sees it; mmrec.stores.writer_right gives it."""

from collections.abc import Mapping
from typing import Protocol

from mmrec.features.profile_rows import RowLayout


class WriterRight(Protocol):
    """Held until close(), or until the process ends."""

    @property
    def holder(self) -> bytes | None:
        """The value that the store's lease must have for a write to be allowed; None where there is no lease."""
        ...

    @property
    def lost(self) -> bool:
        """Whether another writer took over."""
        ...

    @property
    def layouts(self) -> Mapping[str, RowLayout]:
        """Where workers find the rows of each generation; empty where only one process writes them."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...
